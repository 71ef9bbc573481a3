"""Model sizes and their learning rates: built-in presets, and a rule for any number of weights.

The presets are Pythia's (Biderman et al. 2023, arXiv 2304.01373), and two smaller ones. A preset is
a set of values for the settings `model.*`. A plugin adds one by
`PRESETS.register("name", {"hidden_size": ..., ...})`.
"""

from __future__ import annotations

import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.registry import Registry

log = logging.getLogger(__name__)
PRESETS: Registry[dict[str, Any]] = Registry("model.preset")

_SMALL = {"rotary_pct": 1.0, "parallel_residual": False, "initializer_range": 0.04}
_PYTHIA = {"rotary_pct": 0.25, "parallel_residual": True, "initializer_range": 0.02}
PRESETS.register("micro", {"hidden_size": 64, "num_layers": 3, "num_heads": 2, **_SMALL})
PRESETS.register("tiny", {"hidden_size": 128, "num_layers": 2, "num_heads": 4, **_SMALL})
PRESETS.register("pythia-14m", {"hidden_size": 128, "num_layers": 6, "num_heads": 4, **_PYTHIA})
PRESETS.register("pythia-31m", {"hidden_size": 256, "num_layers": 6, "num_heads": 8, **_PYTHIA})
PRESETS.register("pythia-70m", {"hidden_size": 512, "num_layers": 6, "num_heads": 8, **_PYTHIA})
PRESETS.register("pythia-160m", {"hidden_size": 768, "num_layers": 12, "num_heads": 12, **_PYTHIA})
PRESETS.register("pythia-410m", {"hidden_size": 1024, "num_layers": 24, "num_heads": 16, **_PYTHIA})
PRESETS.register("pythia-1b", {"hidden_size": 2048, "num_layers": 16, "num_heads": 8, **_PYTHIA})

# With Muon; the evidence for each is in docs/performance.md. Other sizes have the rule's.
_RATES = {
    "micro": 8e-3,
    "tiny": 1e-2,
    "pythia-14m": 1e-2,
    "pythia-31m": 1e-2,
    "pythia-70m": 4e-3,
    "pythia-160m": 4e-3,
}
# Up to this width the best rates did not fall with the width.
_RATE, _MEASURED_WIDTH = 8e-3, 256
# Tokens that the runs read with which rates were swept, and how far from them a run is warned of.
_MEASURED_TOKENS, _FAR = (2e5, 3e6), 10
# Rate of an optimizer relative to Muon's.
_RATE_OF = {"muon": 1.0, "adamw": 0.25}
# Weights of a layer of width d: 4 d² of attention, 8 d² of the MLP.
_LAYER = 12


def with_preset(params: ModelParameters) -> ModelParameters:
    """`params` with the preset's value for every setting that they leave open.

    `model.parameters` replaces the preset's sizes. A configuration directory leaves nothing open:
    then `params` are given back.

    Raises
    ------
    ErgokedroError
        If there is no such preset, it holds something that is no setting of a model, or both a
        number of weights and a directory give the sizes.
    """
    preset = PRESETS[params.preset]
    if isinstance(params.config, str):
        if params.parameters is not None:
            raise ErgokedroError(
                f"model.parameters = {params.parameters:g} has no effect beside the directory "
                f"model.config = {params.config!r}, which gives the sizes; leave one of them out."
            )
        return params
    sizes = shape(params.parameters) if params.parameters else {}
    given = params.model_dump(exclude_none=True)
    try:
        return ModelParameters.model_validate({**preset, **sizes, **given})
    except ValidationError as error:
        raise ErgokedroError(
            f"model.preset = {params.preset!r} is registered with invalid settings: {error}"
        ) from error


def shape(parameters: float) -> dict[str, int]:
    """Width, layers and heads of a model with about this many weights between its embeddings.

    A layer has 12 d² weights at width d. There is about one layer per 64 of width, as in
    Pythia-160m (12 layers of 768), but at least two. The width is a multiple of a head's: 32, or 64
    from 384 on. The layers then make up for the rounding of the width.
    """
    ideal_layers = max(2.0, (parameters / (_LAYER * 64**2)) ** (1 / 3))
    width = (parameters / (_LAYER * ideal_layers)) ** 0.5
    head = 32 if width < 384 else 64
    heads = max(1, round(width / head))
    layers = max(2, round(parameters / (_LAYER * (head * heads) ** 2)))
    return {"hidden_size": head * heads, "num_layers": layers, "num_heads": heads}


def with_learning_rate(training: TrainingParameters, model: ModelParameters) -> TrainingParameters:
    """`training` with the learning rate for this size, if none was set.

    The preset's own where its width is not replaced. Otherwise 8e-3 with Muon and 2e-3 with AdamW
    up to width 256, and inversely proportional to the width above. An optimizer of a plugin keeps
    the default rate, and so does a model whose width is not known before it is built.
    """
    if "learning_rate" in training.model_fields_set or training.optimizer not in _RATE_OF:
        return training
    width = _width(model)
    own = model.hidden_size is None and model.parameters is None and not model.config
    rate = _RATES.get(model.preset) if own else None
    if rate is None:
        rate = _RATE * min(1.0, _MEASURED_WIDTH / (width or 1))
    return training.model_copy(update={"learning_rate": rate * _RATE_OF[training.optimizer]})


def _width(model: ModelParameters) -> int | None:
    if isinstance(model.config, str):
        fields = _read_fields(model.config) | model.model_dump(
            include={"hidden_size"}, exclude_none=True
        )
    else:
        fields = model.config or {}
    for name in ("hidden_size", "n_embd", "d_model"):
        if isinstance(fields.get(name), int):
            return int(fields[name])
    return with_preset(model).hidden_size


def _read_fields(directory: str) -> dict[str, Any]:
    """The fields of a config.json; none if it cannot be read, which another check reports."""
    try:
        fields = json.loads((Path(directory) / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return fields if isinstance(fields, dict) else {}


def warn_of_untuned_rate(
    training: TrainingParameters, model: ModelParameters, tokens: float
) -> None:
    """Warn, once for each size, where the learning rate is the rule's and is far from its evidence.

    Rates were swept at widths up to 256, over 0.2 to 3 million tokens. A run is far from that if
    it is wider, or reads ten times more tokens or ten times fewer. Whether somebody has set the
    rate is not asked: settings that were completed and written have every value.

    Parameters
    ----------
    tokens : that the run reads, over all epochs.
    """
    by_rule = with_learning_rate(TrainingParameters(optimizer=training.optimizer), model)
    rate = with_learning_rate(training, model).learning_rate
    if training.optimizer not in _RATE_OF or rate != by_rule.learning_rate:
        return
    low, high = _MEASURED_TOKENS
    width = _width(model)
    wide = width is not None and width > _MEASURED_WIDTH
    if wide or not low / _FAR <= tokens <= high * _FAR:
        _warn_once(rate, f"{width or 'unknown'}", f"{tokens:,.0f}")


@cache
def _warn_once(rate: float, width: str, tokens: str) -> None:
    log.warning(
        "training.learning_rate = %.2g comes from sweeps at widths up to %d with %g to %g million "
        "tokens, but this model has width %s and reads %s; try others, if the absolute cross "
        "entropy matters",
        rate,
        _MEASURED_WIDTH,
        *(limit / 1e6 for limit in _MEASURED_TOKENS),
        width,
        tokens,
    )
