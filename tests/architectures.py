"""Small models of transformers, one of each kind that matters, for several tests."""

from __future__ import annotations

from typing import Any

import torch

from ergokedro.models.factory import model_config
from ergokedro.parameters import ModelParameters

# model_type -> fields of its configuration beside the sizes.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": 1},
    "gpt2": {},  # tied embeddings, learned positions, transposed matrices
    "qwen3": {"tie_word_embeddings": True},
    "mistral": {"sliding_window": 4},
    "mamba2": {"state_size": 4, "head_dim": 8, "chunk_size": 4},  # state-space
    "gemma2": {"sliding_window": 4},  # capped logits
    "cohere": {"use_qk_norm": True},  # scaled logits
    "rwkv": {},  # recurrent
    "recurrent_gemma": {"block_types": ["recurrent", "attention"]},
    "mixtral": {"num_local_experts": 4},  # experts
}
NAMES = list(ARCHITECTURES)


def settings(name: str, **changes: Any) -> ModelParameters:
    """Two layers of width 16; `changes` are fields of `model.config`."""
    return ModelParameters(
        architecture=name,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        intermediate_size=32,
        config={**ARCHITECTURES.get(name, {}), **changes},
    )


def config_of(name: str, vocab_size: int = 100, **changes: Any) -> dict[str, Any]:
    """The content of its config.json."""
    return model_config(settings(name, **changes), vocab_size)


def see_the_next_token(model: Any) -> None:
    """Plant a leak: every position is also given the embedding of the token after it."""

    def add_next(_: Any, __: Any, embedded: torch.Tensor) -> torch.Tensor:
        return embedded + embedded.roll(-1, dims=1)

    model.model.get_input_embeddings().register_forward_hook(add_next)
