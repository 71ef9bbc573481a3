"""Ray tasks of the driver: the same bytes, whatever dies, and one message if they fail."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ergokedro.data.tokenization import write_store
from ergokedro.errors import ErgokedroError
from ergokedro.runtime import ray_tasks
from ergokedro.runtime.failures import MachineError
from ergokedro.runtime.ray_tasks import map_on_cluster
from many_blocks import files_of, plan_of_many_blocks
from ray_clusters import Cluster, cluster

__all__ = ["cluster"]  # a fixture
pytestmark = pytest.mark.slow


def test_the_store_is_that_of_one_process(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of_many_blocks(tmp_path, monkeypatch)
    expected = files_of(write_store(tmp_path / "one", plan))
    store = write_store(tmp_path / "tasks", replace(plan, processes=3), map_on_cluster)
    assert files_of(store) == expected


def test_whatever_dies_all_tasks_are_done(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add()
    rng = random.Random(0)
    starts = tmp_path / "starts"

    def work(number: int) -> bytes:
        with starts.open("a") as file:
            file.write(f"{number}\n")
        time.sleep(0.2)
        return number.to_bytes(4, "little") * 100_000  # too large to be sent with the message

    results = []
    for result in map_on_cluster(work, range(40), 4):
        results.append(result)
        if len(results) in (8, 16):
            rng.choice(cluster.workers("ray::_call")).kill()
        if len(results) == 24:
            cluster.kill_node(0)
    assert sorted(results) == sorted(number.to_bytes(4, "little") * 100_000 for number in range(40))
    assert 42 <= len(starts.read_text().split()) <= 50  # again, but only what was lost


def test_failures_are_one_message(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> None:
        raise ErgokedroError(f"no {number}") if number else MachineError("The disk is full")

    with pytest.raises(ErgokedroError, match=r"^no 1$"):
        list(map_on_cluster(refuse, [1], 1))
    with pytest.raises(ErgokedroError, match=r"^On node [0-9a-f]{8} \(.+\): The disk is full$"):
        list(map_on_cluster(refuse, [0], 1))
    monkeypatch.setattr(ray_tasks, "_ATTEMPTS", 2)
    with pytest.raises(ErgokedroError, match=r"started 2 times.* Lower corpus\.processes"):
        list(map_on_cluster(os._exit, [9], 1))
