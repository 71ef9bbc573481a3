"""Checkpoints: the same end after any interruption, and never another run's state."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import build_model
from ergokedro.models.weights import weights_fingerprint
from ergokedro.parameters import CheckpointParameters, TrainingParameters
from ergokedro.training import checkpoint
from ergokedro.training.checkpoint import Checkpoints, read_checkpoint
from ergokedro.training.identity import run_identity
from ergokedro.training.trainer import TrainingResult
from small_training import MODEL, PARAMS, ArrayWindows, random_windows
from small_training import run as train_small

# Nine steps; logged after 2, 4, 7 and 9, validated after 4 and 9.
EACH_STEP = CheckpointParameters(every=1)
VALIDATION = {"a": random_windows(3, seed=5), "b": random_windows(3, seed=6)}


class InterruptionError(Exception):
    """Stands for a kill, in a process that continues."""


class FailingWindows(ArrayWindows):
    """Windows that fail after some batches."""

    def __init__(self, batches: int):
        super().__init__(random_windows())
        self.left = batches

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Rows, or the interruption."""
        self.left -= 1
        if self.left < 0:
            raise InterruptionError
        return super().gather(starts)


def run(
    folder: Path | None,
    batches: int = 9,
    *,
    training: TrainingParameters = PARAMS,
    params: CheckpointParameters = EACH_STEP,
    seed: int = 0,
    repeat: bool = False,
    **kwargs: Any,
) -> TrainingResult:
    """Train nine steps on random windows; raises after so many `batches`."""
    identity = run_identity("manifest", seed, MODEL, training, "windows")
    checkpoints = Checkpoints(folder, "k1", identity, params, repeat) if folder else None
    settings = {"seed": seed, "validation": VALIDATION, "checkpoints": checkpoints, **kwargs}
    return train_small(FailingWindows(batches), training, **settings)


def interrupt(folder: Path, batches: int, **kwargs: Any) -> None:
    """Train until the interruption."""
    with pytest.raises(InterruptionError):
        run(folder, batches, **kwargs)


def saved_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints in `folder`."""
    return sorted(read_checkpoint(file).step for file in folder.rglob("*.safetensors"))


def assert_same_end(result: TrainingResult, expected: TrainingResult) -> None:
    """Equal but for the measured speed."""
    measured = ("seconds", "tokens_per_second")
    histories = [
        r.history[~r.history.metric.isin(measured)].reset_index(drop=True)
        for r in (result, expected)
    ]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    pd.testing.assert_frame_equal(
        result.history[["step", "metric"]], expected.history[["step", "metric"]]
    )
    summaries = [r.summary.model_dump(exclude=set(measured)) for r in (result, expected)]
    assert summaries[0] == summaries[1]
    assert weights_fingerprint(result.model) == weights_fingerprint(expected.model)


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_in_the_same_bits(kills: int) -> None:
    """As benchmarks/kill_resume.py does a hundred times: SIGKILL, own processes, whole nodes."""
    script = Path(__file__).parents[2] / "benchmarks" / "kill_resume.py"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    output = subprocess.check_output(
        [sys.executable, str(script), "--kills", str(kills)], text=True, env=environment
    )
    *_, result = output.splitlines()
    assert result.startswith(f"{kills} kills")
    assert result.endswith("every end is bit-identical")


@pytest.mark.parametrize("every", [1, 3, 0.4])
def test_interrupted_after_any_step_it_ends_as_if_it_had_not(tmp_path: Path, every: float) -> None:
    expected = run(None)
    for batches in range(9):
        folder = tmp_path / str(batches)
        params = CheckpointParameters(every=every)
        interrupt(folder, batches, params=params)
        steps = saved_steps(folder)
        interval = {1: 1, 3: 3, 0.4: 4}[every]
        assert steps == [batches // interval * interval][: batches // interval]
        # It needs the batches that are left, and no other.
        result = run(folder, 9 - sum(steps), params=params)
        assert_same_end(result, expected)


def test_interrupted_at_every_step_in_turn(tmp_path: Path) -> None:
    for _ in range(8):
        interrupt(tmp_path, 1)
    assert_same_end(run(tmp_path, 1), run(None))


def test_a_resumed_run_reports_the_whole_curve(tmp_path: Path) -> None:
    interrupt(tmp_path, 5)
    seen: list[Any] = []
    history = run(tmp_path, on_metrics=seen.extend).history
    assert [tuple(row) for row in history.itertuples(index=False)] == seen


def test_a_finished_run_is_given_without_a_step(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(tmp_path)
    seen: list[Any] = []
    with caplog.at_level("INFO", "ergokedro"):
        again = run(tmp_path, batches=0, on_metrics=seen.extend)
    assert again.summary == first.summary  # the measured speed, too
    pd.testing.assert_frame_equal(again.history, first.history, check_exact=True)
    assert weights_fingerprint(again.model) == weights_fingerprint(first.model)
    assert len(seen) == len(first.history)
    assert [m for m in caplog.messages if "k1" in m] == [
        "k1 is finished already and is not trained again (training.repeat=true would)"
    ]


def test_repeating_starts_over_once(tmp_path: Path) -> None:
    first = run(tmp_path)
    with pytest.raises(InterruptionError):
        run(tmp_path, 8, repeat=True)
    assert_same_end(run(tmp_path, 1, repeat=True), first)  # that command is resumed, too


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        (
            {"training": PARAMS.model_copy(update={"learning_rate": 0.5})},
            "training.learning_rate is 0.002 there and 0.5 here",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any], named: str
) -> None:
    interrupt(tmp_path, 6)
    with caplog.at_level("INFO", "ergokedro"):
        interrupt(tmp_path, 4, **change)
    (line,) = [m for m in caplog.messages if m.startswith("k1 starts from step 0")]
    assert f" belongs to another run ({named}). " in line
    assert saved_steps(tmp_path) == [4, 6]  # both can be resumed until one is finished
    assert_same_end(run(tmp_path, 5, **change), run(None, **change))
    assert saved_steps(tmp_path) == [9]


def test_only_checkpoints_are_deleted(tmp_path: Path) -> None:
    """Also when the folder holds something else."""
    (tmp_path / "results").mkdir()
    interrupt(tmp_path, 6)
    run(tmp_path, seed=1)
    assert saved_steps(tmp_path) == [9]
    assert (tmp_path / "results").is_dir()


def test_a_checkpoint_moved_between_runs_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    interrupt(tmp_path / "a", 6)
    interrupt(tmp_path / "b", 5, seed=1)
    (theirs,), (ours,) = (list((tmp_path / name).rglob("*.safetensors")) for name in "ab")
    theirs.rename(ours.with_name(theirs.name))
    assert_same_end(run(tmp_path / "b", 4, seed=1), run(None, seed=1))
    assert "belongs to another run: seed is 0 there and 1 here" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "header"])
def test_a_damaged_checkpoint_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    params = CheckpointParameters(every=2, keep_last=2)
    interrupt(tmp_path, 7, params=params)
    latest = max(tmp_path.rglob("*.safetensors"))
    content = bytearray(latest.read_bytes())
    position = len(content) // 2 if damage == "flip" else content.index(b"tokens")
    content[position] ^= 1
    latest.write_bytes({"cut": content[:-5], "empty": bytearray()}.get(damage, content))
    assert_same_end(run(tmp_path, 5, params=params), run(None))
    assert f"ignored {latest}, which is not a readable checkpoint" in caplog.text


def test_a_code_change_invalidates_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    monkeypatch.setattr("ergokedro.training.identity.code_fingerprint", lambda sources: "other")
    with pytest.raises(InterruptionError):
        run(tmp_path, batches=0)


def test_resuming_with_other_threads_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    interrupt(tmp_path, 5)
    result = run(tmp_path, training=PARAMS.model_copy(update={"threads": 2}))
    assert result.summary.threads == 2
    assert "results differ by rounding" in caplog.text
    caplog.clear()
    assert run(tmp_path, 0).summary.threads == 2  # those that it was trained with
    assert "resumes with" not in caplog.text


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({"every": 1}, [9]),
        ({"every": 2, "keep_last": 3}, [6, 8, 9]),
        ({"every": 0.5, "keep_last": 9}, [4, 8, 9]),
        ({"every": 99, "log_spaced": True}, [1, 2, 4, 8, 9]),
        ({"every": 3, "keep_last": 2, "log_spaced": True}, [1, 2, 4, 8, 9]),
        ({"every": 3, "keep_last": 3, "log_spaced": True}, [1, 2, 4, 6, 8, 9]),
    ],
)
def test_what_is_kept(tmp_path: Path, params: dict[str, Any], kept: list[int]) -> None:
    run(tmp_path, params=CheckpointParameters(**params))
    assert saved_steps(tmp_path) == kept


@pytest.mark.parametrize(("cost", "kept"), [(0.0, [4, 8, 9]), (0.4, [4, 9])])
def test_by_default_saving_takes_little_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: float, kept: list[int]
) -> None:
    """On a clock by which a batch takes 3 seconds: 10 seconds apart, or 50 times the cost."""
    now = 0.0

    class TimedWindows(ArrayWindows):
        def gather(self, starts: np.ndarray) -> np.ndarray:
            nonlocal now
            now += 3
            return super().gather(starts)

    def slow_write(*args: Any) -> None:
        nonlocal now
        now += cost
        write(*args)

    write = checkpoint.write_checkpoint
    monkeypatch.setattr(checkpoint, "write_checkpoint", slow_write)
    monkeypatch.setattr("time.monotonic", lambda: now)
    checkpoints = Checkpoints(tmp_path, "k1", {}, CheckpointParameters(keep_last=9))
    train_small(TimedWindows(random_windows()), checkpoints=checkpoints)
    assert saved_steps(tmp_path) == kept


def test_what_a_kill_left_is_cleared(tmp_path: Path) -> None:
    interrupt(tmp_path, 3)
    (folder,) = tmp_path.iterdir()
    (folder / "step-000000004.safetensors.partial").write_bytes(b"half")
    (folder / "step-000000005.safetensors.partial").write_bytes(b"half")
    interrupt(tmp_path, 1)
    assert [path.name for path in folder.iterdir()] == ["step-000000004.safetensors"]


def test_the_last_checkpoint_holds_the_weights_alone(tmp_path: Path) -> None:
    """A third of the size, kept for as long as the run counts as finished."""
    interrupt(tmp_path, 8)
    (file,) = tmp_path.rglob("*.safetensors")
    assert any(name.startswith("optimizer.") for name in read_checkpoint(file).tensors)
    result = run(tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    tensors = read_checkpoint(file).tensors
    assert not any(name.startswith("optimizer.") for name in tensors)
    model = build_model(MODEL, 1)
    prefix = "model."
    model.load_state_dict(
        {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    )
    assert weights_fingerprint(model) == result.summary.final_weights


def test_a_diverged_state_is_not_kept(tmp_path: Path) -> None:
    training = PARAMS.model_copy(update={"learning_rate": 1e30, "log_points": 1})
    with pytest.raises(ErgokedroError, match="diverged at step"):
        run(tmp_path, training=training)
    for file in tmp_path.rglob("*.safetensors"):
        assert read_checkpoint(file).tensors["losses"].isfinite().all()


def test_equal_states_are_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = []
    for name in "ab":
        clock = itertools.count()
        monkeypatch.setattr("time.perf_counter", lambda clock=clock: float(next(clock)))
        run(tmp_path / name, params=CheckpointParameters(every=3, keep_last=9))
        files = sorted((tmp_path / name).rglob("*.safetensors"))
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]


def test_no_code_is_stored(tmp_path: Path) -> None:
    """What torch's own loader, which would run code, takes for a pickle is refused."""
    file = tmp_path / "step-000000001.safetensors"
    torch.save({"step": 1}, file)
    with pytest.raises(ErgokedroError, match="not a readable checkpoint"):
        read_checkpoint(file)
