"""Several processes train as one does, stop as one, and notice when one of them is gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ergokedro import progress
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CheckpointParameters
from ergokedro.registry import load_plugins
from ergokedro.training.checkpoint import Checkpoints, read_checkpoint
from ergokedro.training.distributed import LostContactError, process_group
from ergokedro.training.trainer import TrainingResult, train
from process_pairs import stop_after_three, train_in_two
from small_training import PARAMS, ArrayWindows, make_job, random_windows

VALIDATION = {"a": random_windows(3, seed=5)}
# Batches of 5, 5 and 1 windows of 11: rows are uneven, and in the last one process has none.
WINDOWS = random_windows(11)
# The optimizer, which is of a plugin, is Muon.
load_plugins("toy_plugin")
TWO = PARAMS.model_copy(
    update={"processes": 2, "batch_size": 5, "optimizer": "toy_muon", "log_points": 9}
)
JOB = make_job(WINDOWS, TWO, validation=VALIDATION)


class SabotagedWindows(ArrayWindows):
    """Windows whose third batch ends the second process."""

    def __init__(self) -> None:
        super().__init__(WINDOWS)
        self.left = 2

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Rows, or the end."""
        self.left -= 1
        if self.left < 0 and torch.distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().gather(starts)


def assert_close(result: TrainingResult, expected: TrainingResult) -> None:
    """Equal up to the rounding of sums."""
    for (name, ours), (_, theirs) in zip(
        result.model.named_parameters(), expected.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=name)
    curves = [
        r.history[~r.history.metric.isin(["tokens_per_second"])].reset_index(drop=True)
        for r in (result, expected)
    ]
    pd.testing.assert_frame_equal(*curves, rtol=1e-4)


def test_two_processes_equal_one_though_they_were_stopped(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "k1", {"of": "this"}, CheckpointParameters(every=100))
    assert [type(result) for result in train_in_two(JOB, checkpoints, stop_after_three)] == 2 * [
        progress.Stopped
    ]
    (saved,) = tmp_path.rglob("*.safetensors")
    assert 3 <= read_checkpoint(saved).step < 9

    together, other = train_in_two(JOB, checkpoints)
    assert together.summary.tokens_seen == 3 * WINDOWS.size
    assert together.summary.processes == 2
    assert together.summary.final_weights == other.summary.final_weights
    assert_close(together, train(make_job(WINDOWS, TWO, validation=VALIDATION)))

    finished, _ = train_in_two(JOB, checkpoints)
    assert finished.summary == together.summary
    pd.testing.assert_frame_equal(finished.history, together.history)


def test_a_process_that_is_gone_is_noticed() -> None:
    job = make_job(SabotagedWindows(), TWO)
    leading, lost = train_in_two(job)
    assert isinstance(leading, LostContactError)
    assert isinstance(lost, EOFError)  # killed before it could answer


def test_processes_that_nobody_has_started() -> None:
    assert process_group(1).leads
    with pytest.raises(ErgokedroError, match=r"processes = 2, but 1 share.*RayRunner"):
        process_group(2)
