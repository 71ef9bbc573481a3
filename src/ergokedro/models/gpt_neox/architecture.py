"""GPT-NeoX as an entry of the registry; its files are transformers' files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ergokedro.models.architecture import WEIGHTS_FILE, Architecture
from ergokedro.models.gpt_neox.config import (
    config_from_settings,
    from_transformers,
    to_transformers,
)
from ergokedro.parameters import ModelParameters

if TYPE_CHECKING:
    from ergokedro.models.gpt_neox.modules import GPTNeoX

# Names of weights before transformers 5.
_FORMER_NAMES = {"embed_out.weight": "lm_head.weight"}


class GPTNeoXArchitecture(Architecture):
    """GPT-NeoX (Black et al. 2022, arXiv 2204.06745), as Pythia uses it."""

    unused = ("config",)
    in_transformers = True

    def config(self, params: ModelParameters, vocab_size: int) -> dict[str, Any]:
        """The content of transformers' config.json."""
        return to_transformers(config_from_settings(params, vocab_size))

    def build(self, config: dict[str, Any]) -> GPTNeoX:
        """A model with random weights from torch's default generator."""
        model = self.skeleton(config).to_empty(device="cpu")
        model.initialize()
        return model

    def skeleton(self, config: dict[str, Any]) -> GPTNeoX:
        """A model without memory for weights, which torch would fill only to be replaced."""
        import torch

        from ergokedro.models.gpt_neox.modules import GPTNeoX

        with torch.device("meta"):
            return GPTNeoX(config)

    def load(self, directory: Path, config: dict[str, Any]) -> GPTNeoX:
        """Read a directory of transformers, also from before version 5.

        Raises
        ------
        OSError, ValueError, KeyError, RuntimeError, SafetensorError
            If the files are missing, damaged, or of a variant that is not implemented.
        """
        from safetensors.torch import load_file

        model = self.skeleton(to_transformers(from_transformers(config)))
        tensors = load_file(directory / WEIGHTS_FILE)
        tensors = {_FORMER_NAMES.get(name, name): tensor for name, tensor in tensors.items()}
        # Copies on the hub also hold masks and frequencies, which are not weights.
        weights = {name: tensors[name].float() for name in model.state_dict()}
        model.load_state_dict(weights, strict=True, assign=True)
        model.reset_rotary()
        return model
