"""A model's weights: how many, their fingerprint, and their form in files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save, save_file


def n_parameters(model: torch.nn.Module) -> int:
    """Number of trainable weights, embeddings included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def weights_fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 of all weights, with their names, in the order of the state dictionary."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def file_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same values as safetensors takes them: on the CPU, contiguous, none sharing memory.

    Tensors are copied only where they must be; tied weights are stored under both names.
    """
    stored: dict[str, torch.Tensor] = {}
    addresses: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        stored[name] = tensor.clone() if tensor.data_ptr() in addresses else tensor
        addresses.add(tensor.data_ptr())
    return stored


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file of tensors that :func:`file_tensors` has prepared.

    Raises
    ------
    OSError
        If the disk is full. The library's own exception does not tell that from a defect.
    """
    try:
        save_file(tensors, path, metadata)
    except SafetensorError:
        path.write_bytes(save(tensors, metadata))  # raises the system's error, or succeeds
