"""One run that two processes train, on one node and on two: the same bits, whatever dies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from project import Project
from ray_clusters import (
    RUNNER,
    Cluster,
    assert_equal,
    bucket,
    cluster,
    mlflow_runs,
    outcome,
    outcome_of,
    path_of_another_version,
    project_in_bucket,
)

__all__ = ["bucket", "cluster"]  # fixtures
pytestmark = pytest.mark.slow

# One run, trained by two processes.
TOGETHER = "k=2,training.processes=2,training.epochs=60,training.checkpoints.every=20"


def test_one_run_on_two_nodes_has_the_bits_of_one_node(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add()
    two = Project.create(tmp_path / "two")
    output = two.run(*RUNNER, "--params", TOGETHER)
    assert "runs at a time: 1" in output
    killed = Project.create(tmp_path / "killed")
    output = _lose_a_node(cluster, killed)
    assert "k2 was interrupted and starts again" in output
    assert "k2 resumes from step" in output

    monkeypatch.delenv("RAY_ADDRESS")  # a Ray of this command alone: one node
    one = Project.create(tmp_path / "one")
    one.run(*RUNNER, "--params", TOGETHER)
    expected = outcome_of(one)
    assert expected["07_model_output/synthetic/k2/summary.json"]["processes"] == 2
    assert_equal(outcome_of(two), expected)
    assert_equal(outcome_of(killed), expected)
    assert {run.info.status for run in mlflow_runs(killed)} == {"FINISHED"}


def _lose_a_node(cluster: Cluster, project: Project) -> str:
    """Kill a node once there is a checkpoint, and let another one join; give what is printed."""
    command = project.start("run", "--env", "small", *RUNNER, "--params", TOGETHER)
    models = project.root / "data" / "06_models" / "synthetic"
    while not list(models.glob("*.checkpoints/*/*.safetensors")):
        assert command.poll() is None
        time.sleep(0.05)
    cluster.kill_node(0)
    cluster.add()
    output, _ = command.communicate()
    assert command.returncode == 0, output
    return output


def test_one_run_of_two_processes_leaves_an_unfit_node(
    bucket: Any, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERGOKEDRO_CACHE", str(tmp_path / "caches" / "driver"))
    together = "k=2,training.processes=2"
    project = project_in_bucket(tmp_path / "project")
    cluster.add(PYTHONPATH=path_of_another_version(tmp_path / "other"))
    output = project.run(*RUNNER, "--params", together, status=1)
    assert output.count("This node has code of ergokedro") == 2  # the warning, and the end
    assert "Traceback" not in output
    cluster.add()
    project.run(*RUNNER, "--params", together)
    files = [file.removeprefix("sweep/data/") for file in bucket.find("sweep/data")]
    ours = outcome(lambda file: bucket.cat(f"sweep/data/{file}"), files)

    monkeypatch.delenv("RAY_ADDRESS")
    one = Project.create(tmp_path / "one")
    one.run(*RUNNER, "--params", together)
    expected = outcome_of(one)
    del expected["results"]
    assert_equal(ours, expected)
