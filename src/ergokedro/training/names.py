"""Are the names that settings choose registered? Answered without importing torch."""

from __future__ import annotations

from ergokedro.models.factory import MODELS
from ergokedro.models.presets import PRESETS
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.training.lr_schedule import SCHEDULES
from ergokedro.training.optimizers import OPTIMIZERS


def check_names(model: ModelParameters, training: TrainingParameters) -> None:
    """Check architecture, preset, optimizer and schedule; plugins must be loaded before.

    Raises
    ------
    ErgokedroError
        If one is unknown, with the names that are known.
    """
    _ = MODELS[model.architecture]
    _ = PRESETS[model.preset]
    _ = OPTIMIZERS[training.optimizer]
    _ = SCHEDULES[training.schedule]
