"""Any causal language model of transformers as an entry of the registry."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from ergokedro.errors import ErgokedroError
from ergokedro.files import fingerprint
from ergokedro.models.architecture import WEIGHTS_FILE, Architecture
from ergokedro.models.transformers_models.config import (
    config_class,
    config_from_settings,
    configuration,
)
from ergokedro.parameters import ModelParameters

if TYPE_CHECKING:
    from ergokedro.models.causal_lm import CausalLM
    from ergokedro.models.transformers_models.modules import TransformersModel

log = logging.getLogger(__name__)


class TransformersArchitecture(Architecture):
    """The models of one `model_type` of transformers; code that comes with a model is not run.

    Parameters
    ----------
    model_type : in `AutoModelForCausalLM`'s table.
    """

    unused = ("rotary_pct", "parallel_residual")
    in_transformers = True

    def __init__(self, model_type: str):
        self.model_type = model_type
        self._fused: dict[str, bool] = {}  # by the fingerprint of the configuration

    def config(self, params: ModelParameters, vocab_size: int) -> dict[str, Any]:
        """The content of transformers' config.json."""
        return config_from_settings(self.model_type, params, vocab_size)

    def build(self, config: dict[str, Any]) -> TransformersModel:
        """A model as transformers initialises it, checked once per configuration.

        Raises
        ------
        ErgokedroError
            If the model sees later tokens, or draws random numbers.
        """
        return self._prepared(self.skeleton(config, device="cpu"))

    def skeleton(self, config: dict[str, Any], device: str = "meta") -> TransformersModel:
        """A model without memory for weights, unless `device` is 'cpu'."""
        import torch

        from ergokedro.models.transformers_models.modules import TransformersModel

        with torch.device(device), self._explained():
            inner = self._model_class()._from_config(configuration(config))
            return TransformersModel(config, inner)

    def save_weights(self, directory: Path, model: CausalLM) -> None:
        """Write transformers' own files; `from_pretrained(directory)` reads them.

        Raises
        ------
        OSError
            If the disk is full.
        """
        from ergokedro.models.weights import file_tensors, save_tensors

        inner: Any = model.model
        try:
            with quietly():
                inner.save_pretrained(directory)
        except SafetensorError:  # which does not tell a full disk from a defect
            tensors = file_tensors(inner.state_dict())
            save_tensors(directory / WEIGHTS_FILE, tensors, {"format": "pt"})
            raise

    def load(
        self, directory: Path, config: dict[str, Any], *, strict: bool = True
    ) -> TransformersModel:
        """Read a directory of transformers, in float32; never pickled files.

        Parameters
        ----------
        strict : refuse weights that the model does not use. Published files also hold masks and
            frequencies, which are not weights.

        Raises
        ------
        OSError, ValueError, RuntimeError, SafetensorError
            If the files are missing, damaged, or of another model.
        """
        from ergokedro.models.transformers_models.modules import TransformersModel

        with quietly():
            inner, report = self._model_class().from_pretrained(
                directory,
                config=configuration(config),
                dtype="float32",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        accepted = () if strict else ("unexpected_keys",)
        wrong = {kind: names for kind, names in report.items() if names and kind not in accepted}
        if wrong:
            raise ValueError(f"weights that do not fit: {wrong}")
        return self._prepared(TransformersModel(config, inner))

    def _model_class(self) -> Any:
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

        return MODEL_FOR_CAUSAL_LM_MAPPING[config_class(self.model_type)]

    def _prepared(self, model: TransformersModel) -> TransformersModel:
        """The model itself, after its checks and with faster norms."""
        from ergokedro.models.transformers_models.norms import speed_up_norms

        speed_up_norms(model)
        model.fused = self._is_fused(model)
        return model

    def _is_fused(self, model: TransformersModel) -> bool:
        from ergokedro.models.transformers_models.checks import check_model

        key = fingerprint(model.config)
        if key not in self._fused:
            with self._explained():
                self._fused[key] = check_model(model)
            log.info("%s: the loss is computed %s", self.model_type, _COMPUTED[self._fused[key]])
        return self._fused[key]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a model's own code raises into an error that names the settings."""
        try:
            yield
        except ErgokedroError:
            raise
        except Exception as error:  # any of two hundred models
            raise ErgokedroError(
                f"model.architecture = {self.model_type!r}: transformers' model fails with these "
                f"sizes ({type(error).__name__}: {error}). Set the fields that it needs in "
                "model.config."
            ) from error


# By whether hidden states times output weights are the model's logits.
_COMPUTED = {
    True: "from hidden states and output weights in chunks, which give the model's own logits",
    False: "from the model's own logits, which are more than hidden states times output weights",
}


@contextmanager
def quietly() -> Iterator[None]:
    """Run the block without transformers' progress bars and warnings."""
    from transformers.utils import logging as their_logging

    shown, verbosity = their_logging.is_progress_bar_enabled(), their_logging.get_verbosity()
    their_logging.disable_progress_bar()
    their_logging.set_verbosity_error()
    try:
        yield
    finally:
        their_logging.set_verbosity(verbosity)
        if shown:
            their_logging.enable_progress_bar()


@cache
def transformers_architecture(model_type: str) -> TransformersArchitecture:
    """The architecture of a model type; the same object at every call."""
    return TransformersArchitecture(model_type)
