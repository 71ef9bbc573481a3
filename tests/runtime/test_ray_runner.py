"""What Ray is asked for, and what workers send; whole sweeps: end_to_end/test_cluster.py."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kedro.utils import load_obj

from ergokedro import progress
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import TrainingParameters
from ergokedro.progress import Advanced, Began, Ended
from ergokedro.runtime import ray_runner
from ergokedro.runtime.ray_cluster import runs_at_once, task_options, wants_gpu
from ergokedro.runtime.ray_runner import RayRunner
from ergokedro.runtime.ray_worker import Call, ForwardedTracker, Mailbox, Outbox
from ergokedro.training.cost_estimate import Plan, Probe
from ergokedro.training.curves import Measurement
from ergokedro.training.device import Machine

CPU_NODE = {"CPU": 16.0, "memory": 64e9}
GPU_NODE = {"CPU": 32.0, "GPU": 8.0, "memory": 500e9}


def make_plan(device: str, measured: Probe | None = None, **training: Any) -> Plan:
    machine = Machine(torch.device(device), 2, 1, 1, 1e9, runs_per_gpu=2)
    return Plan([], {}, 100, TrainingParameters(**training), machine, measured=measured)


def test_a_missing_ray_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = load_obj("ergokedro.runtime.RayRunner", "kedro.runner")
    assert runner is RayRunner
    monkeypatch.setattr(ray_runner, "find_spec", lambda name: None)
    with pytest.raises(ErgokedroError, match=r"pip install 'ergokedro\[ray\]'"):
        runner()


def test_what_a_run_needs() -> None:
    assert task_options(make_plan("cpu")) == {"num_cpus": 2}
    measured = make_plan("cpu", Probe(1.0, 1.5e9, 10), processes=3)
    assert task_options(measured) == {"num_cpus": 2, "memory": 2_000_000_000}
    assert task_options(make_plan("cuda")) == {"num_cpus": 1, "num_gpus": 0.5}
    assert task_options(make_plan("cuda", processes=4)) == {"num_cpus": 1, "num_gpus": 1}


def test_how_many_runs_the_nodes_compute(caplog: pytest.LogCaptureFixture) -> None:
    assert runs_at_once({"num_cpus": 1, "num_gpus": 0.5}, [CPU_NODE, GPU_NODE, GPU_NODE]) == 32
    assert runs_at_once({"num_cpus": 6, "memory": 20e9}, [CPU_NODE, GPU_NODE]) == 2 + 5
    # Processes of one run may be on several nodes.
    assert runs_at_once({"num_cpus": 1, "num_gpus": 1}, [GPU_NODE, GPU_NODE], processes=16) == 1
    assert runs_at_once({"num_cpus": 10}, [CPU_NODE, CPU_NODE, GPU_NODE], processes=2) == 2
    assert not caplog.records
    assert runs_at_once({"num_cpus": 32}, [CPU_NODE, GPU_NODE], processes=2) == 1
    assert "have room for 1 of the 2 processes of a run (each CPU 32)" in caplog.text


def test_gpus_are_used_where_there_are_any() -> None:
    assert wants_gpu(TrainingParameters(), [CPU_NODE, GPU_NODE])
    assert not wants_gpu(TrainingParameters(), [CPU_NODE])
    assert not wants_gpu(TrainingParameters(device="cpu"), [GPU_NODE])
    with pytest.raises(ErgokedroError, match="no node of the Ray cluster has a GPU"):
        wants_gpu(TrainingParameters(device="cuda"), [CPU_NODE])


class LocalMailbox:
    """A mailbox whose calls are made in this process."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.report = SimpleNamespace(remote=self.mailbox.report)


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> LocalMailbox:
    """Ray's `get` gives what it is given."""
    monkeypatch.setitem(__import__("sys").modules, "ray", SimpleNamespace(get=lambda value: value))
    return LocalMailbox()


def test_progress_is_added_up_until_it_is_sent(local: LocalMailbox) -> None:
    outbox = Outbox("k1", "node", local)
    progress.forward(outbox.put_nowait)
    try:
        with progress.progress_bar("k1", 100, "tokens", done=10) as bar:
            for step in range(30):
                bar.update(3, loss=str(step))
    finally:
        progress.forward(None)
    outbox.flush()
    assert local.mailbox.fetch() == [
        (
            "k1",
            [
                Began("k1", 100, "tokens", 10),
                Advanced("k1", 90, {"loss": "29"}),
                Ended("k1"),
            ],
        )
    ]
    assert local.mailbox.fetch() == []


def test_a_run_is_told_to_end_if_all_shall_or_its_node_is_unfit(local: LocalMailbox) -> None:
    outbox, other = Outbox("k1", "one", local), Outbox("k2", "two", local)
    try:
        outbox.flush()
        assert not progress.is_stopped()
        local.mailbox.avoid("one")
        other.flush()
        assert not progress.is_stopped()
        outbox.flush()
        assert progress.is_stopped()
        progress.resume()
        local.mailbox.stop()
        other.flush()
        assert progress.is_stopped()
    finally:
        progress.resume()


def test_what_a_worker_tracks_is_sent_with_its_run(local: LocalMailbox) -> None:
    outbox = Outbox("k1", "node", local)
    tracker = ForwardedTracker(outbox)
    tracker.enter("k1")
    tracker.log_measurements([Measurement(5, 100, "validation_xe", "cs.DS", 2.5)])
    tracker.complete()
    outbox.flush()
    [(run, calls)] = local.mailbox.fetch()
    methods = [(call.method, call.arguments[0]) for call in calls if isinstance(call, Call)]
    assert (run, methods) == ("k1", [("open", "k1"), ("log_points", "k1"), ("close", "k1")])
    assert isinstance(calls[1], Call)
    assert calls[1].arguments[1] == [("validation_xe/cs.DS", 2.5, 5)]


def test_an_attempt_after_an_interruption_logs_no_point_twice() -> None:
    calls: list[tuple[Any, ...]] = []
    tasks = ray_runner._Tasks.__new__(ray_runner._Tasks)
    tasks._curves = {}
    tasks._tracker = SimpleNamespace(call=lambda *call: calls.append(call))  # type: ignore[assignment]
    first = [("loss", 3.0, 1), ("loss", 2.0, 2)]
    tasks._receive("k1", Call("log_points", ("k1", first, 7)))
    tasks._receive("k1", Call("log_points", ("k1", [*first, ("loss", 1.5, 3)], 8)))
    tasks._receive("k2", Call("log_points", ("k2", first, 9)))
    tasks._receive("k1", Call("close", ("k1", "FINISHED", 10)))
    # Together, and before what comes after them.
    points = ("log_points", "k1", [*first, ("loss", 1.5, 3)], 8)
    assert calls == [points, ("close", "k1", "FINISHED", 10)]
    tasks._log_points("k2", after=1e9)
    assert len(calls) == 2
    tasks._log_points("k2")
    assert calls[2:] == [("log_points", "k2", first, 9)]
    tasks._log_points("k2")
    assert len(calls) == 3


def test_records_of_workers_are_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    tasks = ray_runner._Tasks.__new__(ray_runner._Tasks)
    record = logging.makeLogRecord(
        {"name": "ergokedro.training", "levelno": logging.INFO, "msg": "k1 resumes"}
    )
    with caplog.at_level(logging.INFO):
        tasks._receive("k1", record)
    assert caplog.messages == ["k1 resumes"]
