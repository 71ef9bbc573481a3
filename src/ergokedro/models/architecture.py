"""The interface of an architecture: configures, builds, saves and loads its models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ergokedro.parameters import ModelParameters

if TYPE_CHECKING:  # importing torch takes seconds, and settings are checked without it
    from ergokedro.models.causal_lm import CausalLM

WEIGHTS_FILE = "model.safetensors"


class Architecture(ABC):
    """One kind of model, registered in :data:`ergokedro.models.factory.MODELS`.

    Only `config` and `build` must be written. The other methods have defaults, for models whose
    files hold their state dictionary.

    Attributes
    ----------
    unused : settings `model.*` that have no effect on its models; setting one is an error.
    in_transformers : whether `AutoModelForCausalLM` reads its directories.
    """

    unused: tuple[str, ...] = ()
    in_transformers = False

    @abstractmethod
    def config(self, params: ModelParameters, vocab_size: int) -> dict[str, Any]:
        """The content of config.json, JSON-able; `model_type` is added to it.

        Parameters
        ----------
        params : settings `model.*`, those of the preset filled in.
        vocab_size : token ids that the model must know, a multiple of 128.

        Raises
        ------
        ErgokedroError
            If the settings do not fit together.
        """

    @abstractmethod
    def build(self, config: dict[str, Any]) -> CausalLM:
        """A model with random weights, float32 on the CPU.

        torch's default generator was seeded before; random numbers come from nowhere else.
        """

    def skeleton(self, config: dict[str, Any]) -> CausalLM:
        """A model of the same shape, whose weights need no values; may be cheaper than `build`."""
        return self.build(config)

    def save_weights(self, directory: Path, model: CausalLM) -> None:
        """Write the weights beside the config.json in `directory`."""
        from ergokedro.models.weights import file_tensors, save_tensors

        weights = file_tensors(model.state_dict())
        save_tensors(directory / WEIGHTS_FILE, weights, {"format": "pt"})

    def load(self, directory: Path, config: dict[str, Any]) -> CausalLM:
        """Read the model of a directory whose config.json holds `config`.

        Raises
        ------
        OSError, ValueError, KeyError, RuntimeError, SafetensorError
            If the files are missing, damaged or of another kind of model.
        """
        from safetensors.torch import load_file

        model = self.build(config)
        model.load_state_dict(load_file(directory / WEIGHTS_FILE), strict=True)
        return model


class ModuleArchitecture(Architecture):
    """Models of one class, built by `model_class(config)`.

    `config` has `vocab_size`, the settings `model.*` that have a value, such as `hidden_size` and
    `num_layers`, and the fields of `model.config`.
    """

    def __init__(self, model_class: type[CausalLM]):
        self.model_class = model_class
        # Runs are trained again when the code of the module that defines their entry has changed.
        self.__module__ = model_class.__module__

    def config(self, params: ModelParameters, vocab_size: int) -> dict[str, Any]:
        """The settings that have a value, as fields."""
        fields = params.model_dump(exclude=_NO_FIELDS, exclude_none=True)
        own = params.config if isinstance(params.config, dict) else {}
        return {**fields, **own, "vocab_size": vocab_size}

    def build(self, config: dict[str, Any]) -> CausalLM:
        """A model with the random weights that its modules begin with."""
        return self.model_class(config)


_NO_FIELDS = {"architecture", "preset", "parameters", "config"}
