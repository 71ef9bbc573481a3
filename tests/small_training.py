"""What tests of training train: a model of some thousand weights on random windows; one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from conftest import write_range_store
from ergokedro.data.token_store import TokenStore
from ergokedro.design.accounting import token_accounting
from ergokedro.design.evaluation_windows import choose_evaluation_windows
from ergokedro.design.mixture import Design, Manifest, design_mixtures, make_manifest
from ergokedro.design.runs import chain
from ergokedro.design.training_windows import TrainingWindows
from ergokedro.models.factory import model_config
from ergokedro.parameters import (
    EvaluationParameters,
    MixtureParameters,
    ModelParameters,
    TrainingParameters,
)
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


@dataclass(frozen=True)
class SmallRun:
    """The run of K = 2 on a small store."""

    store: TokenStore
    design: Design
    manifest: Manifest
    windows: pd.DataFrame  # to evaluate on


def small_run(path: Path) -> SmallRun:
    """A store in `path` of two components, with 2,345 and 2,900 tokens to train on.

    Tokens count from 0 to 99 again and again. Windows have 20 of them; two per document are
    measured.
    """
    documents = {
        ("train", "a"): [333, 512, 1500],
        ("train", "b"): [701, 99, 2100],
        ("validation", "a"): [320, 250],
        ("validation", "b"): [300],
        ("test", "a"): [310],
        ("test", "b"): [420],
    }
    store = write_range_store(path, documents, vocab_size=100)
    mixture = MixtureParameters(top_n=2, window_length=20)
    design = design_mixtures(store, token_accounting(store), mixture)
    windows = choose_evaluation_windows(store, design, EvaluationParameters(windows_per_document=2))
    return SmallRun(store, design, make_manifest(store, design, chain(2)), windows)
