"""Several processes train as one does, stop as one, and fail with one message."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pytest
import torch

from ergokedro import progress
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CheckpointParameters, TrainingParameters
from ergokedro.registry import load_plugins
from ergokedro.training import launcher
from ergokedro.training.checkpoint import Checkpoints, read_checkpoint
from ergokedro.training.curves import Measurement
from ergokedro.training.launcher import train_in_processes
from ergokedro.training.trainer import TrainingResult, train
from small_training import PARAMS, ArrayWindows, make_job, random_windows
from warm import CONTEXT

VALIDATION = {"a": random_windows(3, seed=5)}
# Batches of 5, 5 and 1 windows of 11: rows are uneven, and in the last one process has none.
WINDOWS = random_windows(11)
# The optimizer, which is of a plugin, is Muon.
PLUGIN = "toy_plugin"
load_plugins(PLUGIN)
TWO = PARAMS.model_copy(
    update={"processes": 2, "batch_size": 5, "optimizer": "toy_muon", "log_points": 9}
)


class LockingWindows(ArrayWindows):
    """Windows whose readers lock a file in a folder until they end."""

    def __init__(self, folder: Path):
        super().__init__(WINDOWS)
        self.folder = folder
        self.lock: IO[str] | None = None

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Rows."""
        if self.lock is None:
            self.lock = (self.folder / os.environ["LOCAL_RANK"]).open("w")
            fcntl.flock(self.lock, fcntl.LOCK_EX)
            print("locked", file=self.lock, flush=True)
        return super().gather(starts)


@pytest.fixture
def _quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are forked from one that has imported the libraries."""
    monkeypatch.setattr(launcher, "_START_METHOD", CONTEXT.get_start_method())


def train_endlessly(folder: Path) -> None:
    """What the process does that is killed."""
    checkpoints = Checkpoints(folder, "k1", {}, CheckpointParameters(every=3_000_000))
    params = TWO.model_copy(update={"epochs": 1_000_000})
    launcher._START_METHOD = CONTEXT.get_start_method()
    run(params, LockingWindows(folder), checkpoints=checkpoints)


def test_processes_whose_parent_is_killed_save_and_end(tmp_path: Path) -> None:
    parent = CONTEXT.Process(target=train_endlessly, args=(tmp_path,))
    parent.start()
    locked = [tmp_path / "0", tmp_path / "1"]
    while not all(file.exists() and file.read_text() for file in locked):
        assert parent.is_alive()
        time.sleep(0.1)
    parent.kill()
    parent.join()
    for file in locked:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)  # waits until the process has ended
    (saved,) = tmp_path.rglob("*.safetensors")
    assert 0 < read_checkpoint(saved).step < 3_000_000


class SabotagedWindows(ArrayWindows):
    """Windows that fail the second process at its third batch."""

    def __init__(self, how: str):
        super().__init__(WINDOWS)
        self.how, self.left = how, 2

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Rows, or the failure."""
        self.left -= 1
        if self.left < 0 and os.environ["LOCAL_RANK"] == "1":
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("a bad block")
        return super().gather(starts)


def run(
    params: TrainingParameters = TWO, windows: ArrayWindows | None = None, **settings: Any
) -> TrainingResult:
    function = train if params.processes == 1 else train_in_processes
    job = make_job(windows or WINDOWS, params, validation=VALIDATION, plugins=PLUGIN)
    return function(job, **settings)


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


@pytest.mark.usefixtures("_quick_start")
def test_two_processes_equal_one_though_they_were_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(measurements: list[Measurement]) -> None:
        if measurements[0].step >= 3:
            progress.stop()

    checkpoints = Checkpoints(tmp_path, "k1", {"of": "this"}, CheckpointParameters(every=100))
    try:
        with pytest.raises(progress.Stopped):
            run(checkpoints=checkpoints, on_metrics=stop)
    finally:
        progress.resume()
    (saved,) = tmp_path.rglob("*.safetensors")
    assert 3 <= read_checkpoint(saved).step < 9

    recorded: list[Measurement] = []
    together = run(checkpoints=checkpoints, on_metrics=recorded.extend)
    assert [tuple(row) for row in together.history.itertuples(index=False)] == recorded
    assert together.summary.tokens_seen == 3 * WINDOWS.size
    assert together.summary.processes == 2
    assert_close(together, run(TWO.model_copy(update={"processes": 1})))
    assert not multiprocessing.active_children()

    monkeypatch.setattr(launcher, "elastic_launch", None)  # a finished run needs no process
    assert run(checkpoints=checkpoints).summary == together.summary


@pytest.mark.usefixtures("_quick_start")
def test_one_failure_ends_all_with_one_message() -> None:
    with pytest.raises(ErgokedroError, match=r"Process 1 of the training failed: .*a bad block"):
        run(windows=SabotagedWindows("raise"))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    "start", [CONTEXT.get_start_method(), pytest.param("spawn", marks=pytest.mark.slow)]
)
def test_a_process_that_is_killed_ends_all_with_one_message(
    monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr(launcher, "_START_METHOD", start)
    with pytest.raises(ErgokedroError, match="Process 1 of the training was ended by SIGKILL"):
        run(windows=SabotagedWindows("kill"))
    assert not multiprocessing.active_children()


def test_settings_that_leave_a_process_without_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ErgokedroError, match=r"training\.processes = 6 .*batch_size of 5"):
        run(TWO.model_copy(update={"processes": 6}))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ErgokedroError, match=r"training\.processes = 2, but there are 1 GPUs"):
        run(TWO.model_copy(update={"device": "cuda"}))
