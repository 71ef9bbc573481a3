"""Built-in model sizes: Pythia's (Biderman et al. 2023, arXiv 2304.01373), and two smaller ones.

A preset is a set of values for the settings `model.*`. A plugin adds one by
`PRESETS.register("name", {"hidden_size": ..., ...})`.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import ModelParameters
from ergokedro.registry import Registry

PRESETS: Registry[dict[str, Any]] = Registry("model.preset")

_SMALL = {"rotary_pct": 1.0, "parallel_residual": False, "initializer_range": 0.04}
_PYTHIA = {"rotary_pct": 0.25, "parallel_residual": True, "initializer_range": 0.02}
PRESETS.register("micro", {"hidden_size": 64, "num_layers": 3, "num_heads": 2, **_SMALL})
PRESETS.register("tiny", {"hidden_size": 128, "num_layers": 2, "num_heads": 4, **_SMALL})
PRESETS.register("pythia-14m", {"hidden_size": 128, "num_layers": 6, "num_heads": 4, **_PYTHIA})
PRESETS.register("pythia-31m", {"hidden_size": 256, "num_layers": 6, "num_heads": 8, **_PYTHIA})
PRESETS.register("pythia-70m", {"hidden_size": 512, "num_layers": 6, "num_heads": 8, **_PYTHIA})
PRESETS.register("pythia-160m", {"hidden_size": 768, "num_layers": 12, "num_heads": 12, **_PYTHIA})


def with_preset(params: ModelParameters) -> ModelParameters:
    """`params` with the preset's value for every setting that they leave open.

    A configuration directory leaves nothing open: then `params` are given back.

    Raises
    ------
    ErgokedroError
        If there is no such preset, or it holds something that is no setting of a model.
    """
    preset = PRESETS[params.preset]
    if isinstance(params.config, str):
        return params
    try:
        return ModelParameters.model_validate({**preset, **params.model_dump(exclude_none=True)})
    except ValidationError as error:
        raise ErgokedroError(
            f"model.preset = {params.preset!r} is registered with invalid settings: {error}"
        ) from error
