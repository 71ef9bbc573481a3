"""Tracking that several threads share, that nothing waits for, and that ends no experiment."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from ergokedro.runtime import tracking
from ergokedro.runtime.hooks import run_filters
from ergokedro.runtime.mlflow_store import sqlite_uri
from ergokedro.runtime.tracking import Tracker
from ergokedro.training.curves import Measurement


def test_each_thread_has_its_own_current_run(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "mlflow.db")
    tracker = Tracker(uri, "test")
    tracker.start("parent", {"a": 1}, {})
    tracker.monitor_system(seconds=0.2)
    both = threading.Barrier(2)

    def work(name: str, value: float) -> None:
        tracker.enter(name)
        both.wait(60)  # now both have entered
        tracker.log_measurements([Measurement(1, 100, "train_loss", "", value)])
        tracker.log_metrics({"final": value})

    threads = [threading.Thread(target=work, args=pair) for pair in (("k1", 1.0), ("k2", 2.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tracker._calls.join()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None

    def runs() -> dict[str, dict[str, float]]:
        found = client.search_runs([experiment.experiment_id])
        return {str(run.info.run_name): run.data.metrics for run in found}

    while "system/cpu_utilization_percentage" not in runs()["parent"]:
        time.sleep(0.1)
    tracker.finish("FINISHED")
    assert not tracker.broken
    metrics = runs()
    for name, value in (("k1", 1.0), ("k2", 2.0)):
        assert metrics[name] == {"train_loss": value, "final": value}
    states = {run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert states == {"FINISHED"}
    tracker.finish("FAILED")  # a second time, as at the end of the process: nothing happens
    assert {run.info.status for run in client.search_runs([experiment.experiment_id])} == states
    tracker._worker.join()  # its thread ends, so that a grid of many sessions does not keep them


class Store:
    """Stands for MLflow's client: waits for permission to answer, and keeps what it is told."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.logged: list[str] = []
        self.closed: dict[str, str] = {}
        self.running: list[Any] = []
        self.error: Exception | None = None

    def _answer(self) -> None:
        self.answers.wait()
        if self.error:
            raise self.error

    def create_run(self, experiment: str, run_name: str, **_: Any) -> Any:
        """The name is the id, too."""
        self._answer()
        return SimpleNamespace(info=SimpleNamespace(run_id=run_name))

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        """Keep the names."""
        self._answer()
        self.logged += [f"{run}: {entry.key} {entry.value}" for entry in [*metrics, *params]]

    def search_runs(self, experiments: list[str], condition: str) -> list[Any]:
        """Those that are running."""
        assert condition == "attributes.status = 'RUNNING'"
        return self.running

    def set_terminated(self, run: str, status: str, end_time: int | None = None) -> None:
        """Keep the status."""
        self._answer()
        self.closed[run] = status


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    made = Store()
    monkeypatch.setattr(tracking, "open_store", lambda uri, experiment: (made, "0"))
    yield made
    made.answers.set()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_nothing_waits_for_a_server_that_never_answers(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tracking._PATIENCE_SECONDS, "server", 0.1)
    tracker = Tracker("http://localhost:1", "test")
    tracker.start("parent", {"a": 1}, {})
    tracker.enter("k1")
    for step in range(100):  # all of this would wait for ever
        tracker.log_metrics({"loss": float(step)})
    tracker.finish("FINISHED")
    assert warnings(caplog) == [
        "MLflow tracking stopped (the store is too slow: the last 104 entries are lost); the "
        "experiment continues without it."
    ]
    assert tracker.broken
    assert store.logged == []


def test_a_slow_server_is_waited_for_no_longer_in_all(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which each of its answers takes 3 seconds."""
    clock = itertools.count(0, 3)
    times = {"time": time.time, "monotonic": lambda: next(clock), "sleep": lambda _: None}
    monkeypatch.setattr(tracking, "time", SimpleNamespace(**times))
    tracker = Tracker("http://localhost:1", "test")
    tracker.start("parent", {}, {})
    tracker.finish("FINISHED")
    (message,) = warnings(caplog)
    assert "too slow" in message
    assert next(clock) <= 12  # 0 at the start, 3, and 6, which is beyond 5


def test_what_was_queued_arrives_in_order_when_the_server_answers_again(store: Store) -> None:
    tracker = Tracker("http://localhost:1", "test")
    tracker.start("parent", {"a": 1}, {})
    tracker.enter("k1")
    tracker.log_metrics({"loss": 2.0})
    tracker.complete()
    tracker.leave()
    tracker.log_metrics({"kept": 3.0})
    assert store.logged == []
    store.answers.set()
    tracker.finish("FAILED")
    assert store.logged == ["parent: a 1", "k1: loss 2.0", "parent: kept 3.0"]
    assert store.closed == {"k1": "FINISHED", "parent": "FAILED"}


def test_runs_of_killed_commands_are_closed_with_their_children(store: Store) -> None:
    def run(name: str, **tags: str) -> Any:
        info = SimpleNamespace(run_id=name, run_name=name)
        return SimpleNamespace(info=info, data=SimpleNamespace(tags=tags))

    store.running = [
        run("killed", ended="yes"),
        run("k1", **{"mlflow.parentRunId": "killed"}),
        run("alive", ended="no"),
        run("k2", **{"mlflow.parentRunId": "alive"}),
        run("of somebody else"),
    ]
    store.answers.set()
    command: Any = SimpleNamespace(has_outlived=lambda tags: tags.get("ended") == "yes")
    tracker = Tracker("http://localhost:1", "test")
    tracker.start("parent", {}, {})
    tracker.close_killed(command)
    tracker.finish("FINISHED")
    assert store.closed == {"killed": "KILLED", "k1": "KILLED", "parent": "FINISHED"}


def test_the_queue_is_bounded(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_QUEUED", 10)
    tracker = Tracker("http://localhost:1", "test")
    tracker.start("parent", {}, {})
    for step in range(100):
        tracker.log_metrics({f"loss{step}": 0.0})
    assert tracker._calls.qsize() <= 10
    assert warnings(caplog) == [
        "MLflow does not keep up: some of what it should track is left out."
    ]
    store.answers.set()
    tracker.finish("FINISHED")
    assert store.closed == {"parent": "FINISHED"}


@pytest.mark.parametrize(
    "message",
    [
        "refused\nTraceback of the server",
        "(raised as a result of Query-invoked autoflush; consider using …)\nrefused\n[SQL: …]",
    ],
)
def test_a_failure_is_told_once_and_in_one_line(
    message: str, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.error = ConnectionError(message)
    store.answers.set()
    tracker = Tracker("http://localhost:1", "test")
    tracker.start("parent", {"a": 1}, {})
    tracker.log_metrics({"loss": 1.0})
    tracker.finish("FINISHED")
    assert warnings(caplog) == [
        "MLflow tracking stopped (refused); the experiment continues without it."
    ]


def test_a_server_that_accepts_and_says_nothing(
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MLflow's own client, which waits for minutes, is left alone."""
    monkeypatch.setitem(tracking._PATIENCE_SECONDS, "server", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        tracker = Tracker(f"http://127.0.0.1:{server.getsockname()[1]}", "test")
        tracker.start("parent", {"a": 1}, {})
        tracker.finish("FINISHED")
    assert tracker.broken
    assert len(warnings(caplog)) == 1
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_partial_run_is_named_after_what_it_was_asked_for() -> None:
    given = {"pipeline_names": None, "node_names": ("k2.train_model",), "tags": ["training"]}
    assert run_filters(given) == ["k2.train_model", "training"]
    assert run_filters({"tags": [], "from_nodes": None}) == []
