"""The complete description of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ergokedro.design.training_windows import TrainingWindows
from ergokedro.parameters import TrainingParameters


@dataclass(frozen=True)
class TrainingJob:
    """Model, data, protocol and seed of one training run: all that decides its result.

    Attributes
    ----------
    name : shown beside progress and messages.
    model : of :func:`ergokedro.models.factory.model_config`.
    windows : the training windows in their order.
    params : optimizer, schedule, epochs and batch size.
    seed : of the initial weights.
    validation : component -> integers (n, W), measured at intervals.
    averaged_for : components of `validation` on which the best average of the weights is chosen,
        see :mod:`ergokedro.training.averaging`; empty where weights are not averaged.
    """

    name: str
    model: dict[str, Any]
    windows: TrainingWindows
    params: TrainingParameters
    seed: int
    validation: Mapping[str, np.ndarray] = field(default_factory=dict)
    averaged_for: tuple[str, ...] = ()

    @property
    def steps(self) -> int:
        """Optimizer steps over all epochs; fewer may be made where weights are averaged."""
        return self.params.epochs * self.steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return self.windows.steps_per_epoch(self.params.batch_size)

    @property
    def tokens(self) -> int:
        """Tokens seen over all epochs."""
        return self.params.epochs * self.windows.n_windows * self.windows.window_length

    @property
    def tokens_per_step(self) -> int:
        """Tokens in a batch; the last one of an epoch may be smaller."""
        return self.params.batch_size * self.windows.window_length
