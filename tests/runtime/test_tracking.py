"""Tracking that several threads share, and that watches the machine when asked."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from mlflow import MlflowClient

from ergokedro.runtime.hooks import run_filters
from ergokedro.runtime.tracking import Tracker
from ergokedro.training.curves import Measurement


def test_each_thread_has_its_own_current_run(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracker = Tracker(uri, "test", tmp_path / "artifacts")
    tracker.start("parent", {"a": 1}, {})
    tracker.monitor_system(seconds=0.2)
    both = threading.Barrier(2)

    def work(name: str, value: float) -> None:
        tracker.enter(name)
        both.wait(20)  # now both have entered
        tracker.log_measurements([Measurement(1, 100, "train_loss", "", value)])
        tracker.log_metrics({"final": value})

    threads = [threading.Thread(target=work, args=pair) for pair in (("k1", 1.0), ("k2", 2.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("test")
    assert experiment is not None

    def runs() -> dict[str, dict[str, float]]:
        found = client.search_runs([experiment.experiment_id])
        return {str(run.info.run_name): run.data.metrics for run in found}

    deadline = time.monotonic() + 20
    while "system/cpu_utilization_percentage" not in runs()["parent"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    tracker.finish("FINISHED")
    assert not tracker.broken
    metrics = runs()
    for name, value in (("k1", 1.0), ("k2", 2.0)):
        assert metrics[name] == {"train_loss": value, "final": value}
    states = {run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert states == {"FINISHED"}


def test_a_partial_run_is_named_after_what_it_was_asked_for() -> None:
    given = {"pipeline_names": None, "node_names": ("k2.train_model",), "tags": ["training"]}
    assert run_filters(given) == ["k2.train_model", "training"]
    assert run_filters({"tags": [], "from_nodes": None}) == []
