"""A model of a few thousand weights on random windows: what tests of training train."""

from __future__ import annotations

from typing import Any

import numpy as np

from ergokedro.design.training_windows import TrainingWindows
from ergokedro.models.factory import model_config
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.curves import OnMetrics, ignore
from ergokedro.training.job import TrainingJob
from ergokedro.training.trainer import TrainingResult, train

LENGTH = 12
MODEL = model_config(
    ModelParameters(preset="tiny", hidden_size=16, num_layers=1, num_heads=2), vocab_size=100
)
PARAMS = TrainingParameters(
    epochs=3,
    batch_size=4,
    optimizer="adamw",
    learning_rate=2e-3,
    log_points=4,
    validation_points=2,
    device="cpu",
    threads=1,
)


class ArrayWindows(TrainingWindows):
    """Windows from an array, in its order, reversed in odd epochs."""

    def __init__(self, tokens: np.ndarray):
        self._array = tokens

    @property
    def window_length(self) -> int:
        """Tokens in a window."""
        return int(self._array.shape[1])

    @property
    def n_windows(self) -> int:
        """Windows in an epoch."""
        return len(self._array)

    def epoch(self, epoch: int) -> np.ndarray:
        """Row numbers."""
        return np.arange(self.n_windows)[:: -1 if epoch % 2 else 1]

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Rows."""
        return self._array[starts]

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """The rows of one step."""
        epoch, index = divmod(step, self.steps_per_epoch(batch_size))
        return self.gather(self.epoch(epoch)[index * batch_size : (index + 1) * batch_size])


def random_windows(n: int = 10, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, (n, LENGTH))


def make_job(
    windows: np.ndarray | TrainingWindows, params: TrainingParameters = PARAMS, **changes: Any
) -> TrainingJob:
    """The job of training the small model on `windows`."""
    windows = ArrayWindows(windows) if isinstance(windows, np.ndarray) else windows
    settings: dict[str, Any] = {"name": "k1", "model": MODEL, "seed": 0} | changes
    return TrainingJob(windows=windows, params=params, **settings)


def run(
    windows: np.ndarray | TrainingWindows,
    params: TrainingParameters = PARAMS,
    *,
    on_metrics: OnMetrics = ignore,
    checkpoints: Checkpoints | None = None,
    **changes: Any,
) -> TrainingResult:
    """Train the small model on `windows`; `changes` are fields of the job."""
    job = make_job(windows, params, **changes)
    return train(job, on_metrics=on_metrics, checkpoints=checkpoints)
