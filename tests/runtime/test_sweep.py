"""Runs side by side: all of them, no more at a time than said, and none after a failure."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import ThreadRunner

from ergokedro import progress
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import Parameters
from ergokedro.progress import progress_bar
from ergokedro.runtime import sweep
from ergokedro.runtime.sweep import SweepRunner, SweepSession

LENGTHS = {1: 10, 2: 30, 3: 20}  # of the first three runs; the others have nothing to train


def identity(value: int) -> int:
    return value


def runs(count: int, function: Any) -> Pipeline:
    """first → a node per namespace → last, as in the project."""
    names = [f"k{i}" for i in range(1, count + 1)]
    middle = [node(function, "start", f"{name}.out", name="work", namespace=name) for name in names]
    return Pipeline(
        [
            node(identity, "input", "start", name="first"),
            *middle,
            node(lambda *values: sum(values), [f"{n}.out" for n in names], "sum", name="last"),
        ]
    )


def run(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, at_once: int) -> int:
    plan = SimpleNamespace(
        tokens=100,
        tokens_left=60,
        machine=SimpleNamespace(parallel_runs=at_once),
        manifests=[SimpleNamespace(run=f"k{i}", tokens=tokens) for i, tokens in LENGTHS.items()],
        seen=lambda manifest: manifest.tokens,
    )
    monkeypatch.setattr(sweep, "announce", lambda *_: plan)
    catalog = DataCatalog({"input": MemoryDataset(1)})
    output = SweepRunner().run(pipeline, catalog)
    total: int = output["sum"].load()
    return total


def test_processes_of_a_run_need_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    params = Parameters.model_validate({"training": {"processes": 2}})
    monkeypatch.setattr(sweep, "current_parameters", lambda: params)
    training = node(identity, "input", "k1.model", name="train_model", namespace="k1")
    catalog = DataCatalog({"input": MemoryDataset(1)})
    with pytest.raises(ErgokedroError, match=r"processes = 2: .*--runner ergokedro.*RayRunner"):
        SweepRunner().run(Pipeline([training]), catalog)


class Counter:
    """How many calls overlap, at most."""

    def __init__(self, together: int):
        self._barrier = threading.Barrier(together)
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __call__(self, value: int) -> int:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._barrier.wait(10)
        with self._lock:
            self._now -= 1
        return value


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_so_many_at_a_time(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    counter = Counter(at_once)
    assert run(runs(6, counter), monkeypatch, at_once) == 6
    assert counter.most == at_once


def test_the_longest_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[Any] = []
    side_by_side = sweep.side_by_side

    def watch(run: Any, parts: list[Pipeline], at_once: int) -> None:
        order.extend(part.nodes[0].namespace for part in parts)
        side_by_side(run, parts, at_once)

    monkeypatch.setattr(sweep, "side_by_side", watch)
    assert run(runs(4, identity), monkeypatch, 1) == 4
    assert order == ["k2", "k3", "k1", "k4"]


def test_the_first_failure_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    ended: list[bool] = []
    second = threading.Event()

    def work(value: int) -> int:
        started.append(value)
        if len(started) == 1:
            second.wait(10)
            raise ValueError("no")
        second.set()
        try:
            with progress_bar("endless", total=1e12, unit="steps") as bar:
                while True:
                    bar.update(1)
        finally:
            ended.append(True)

    with pytest.raises(ValueError, match="no"):
        run(runs(5, work), monkeypatch, 2)
    assert (len(started), ended) == (2, [True])
    with progress_bar("later", total=1, unit="steps") as bar:  # not stopped any more
        bar.update(1)


def test_an_unknown_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"data_processing": Pipeline([]), "training": Pipeline([]), "__default__": Pipeline([])}
    monkeypatch.setattr(sweep, "project_pipelines", known)
    with pytest.raises(ErgokedroError, match=r"no pipeline 'trainig'\. Known: data_proc"):
        sweep._check_names({"pipeline_names": ["trainig"]})


def test_another_runner_cannot_tell_what_is_outdated() -> None:
    session: Any = SimpleNamespace()
    with pytest.raises(ErgokedroError, match="leave out --runner"):
        SweepSession.run(session, runner=ThreadRunner(), only_missing_outputs=True)


def test_stopped_work_says_so() -> None:
    progress.stop()
    try:
        with progress_bar("work", total=1, unit="steps") as bar, pytest.raises(progress.Stopped):
            bar.update(1)
    finally:
        progress.resume()
