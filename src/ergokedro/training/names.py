"""Checks that the names in settings are registered, without importing torch."""

from __future__ import annotations

from ergokedro.models.factory import MODELS
from ergokedro.models.presets import PRESETS
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.training.lr_schedule import SCHEDULES
from ergokedro.training.optimizers import OPTIMIZERS


def check_names(model: ModelParameters, training: TrainingParameters) -> None:
    """Raise if architecture, preset, optimizer or schedule is not registered.

    Plugins must be loaded before.

    Raises
    ------
    ErgokedroError
        Naming the setting, its value and the registered names.
    """
    _ = MODELS[model.architecture]
    _ = PRESETS[model.preset]
    _ = OPTIMIZERS[training.optimizer]
    _ = SCHEDULES[training.schedule]
