"""Sweeps on a Ray cluster of three nodes: the bits of one process, whatever dies."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ergokedro.data.tokenizer import train_bpe
from project import Project
from published import save_published
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

EIGHT = "k=1-2,controls.seeds=4"
# Long enough to be killed, with checkpoints to resume from.
LONG = "k=1-2,controls.seeds=2,training.epochs=60,training.checkpoints.every=20"
KILLS = int(os.environ.get("ERGOKEDRO_KILLS", "20"))


def run_in_one_process(folder: Path, settings: str) -> Project:
    project = Project.create(folder)
    project.run("--params", settings)
    return project


def test_three_nodes_give_the_bits_of_one_process(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add()
    cluster.add()
    save_published(tmp_path / "published", train_bpe(["some text of a few words"] * 20, 300))
    settings = f"{EIGHT},references={tmp_path / 'published'}"
    one = run_in_one_process(tmp_path / "one", settings)
    project = Project.create(tmp_path / "many")
    command = (*RUNNER, "--params", settings)
    output = project.run(*command)
    assert "runs at a time: 3" in output
    assert output.count("published: its tokenizer gives") == 1  # measured once
    assert_equal(outcome_of(project), outcome_of(one))
    summaries = project.root.glob("data/07_model_output/synthetic/*/summary.json")
    assert len(list(summaries)) == 8
    runs = mlflow_runs(project)
    assert len(runs) == 10
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_name = {run.info.run_name: run for run in runs}
    expected = {run.info.run_name: run for run in mlflow_runs(one)}
    assert by_name.keys() == expected.keys()
    for name, run in by_name.items():
        assert run.data.metrics.keys() == expected[name].data.metrics.keys()
    assert by_name["k2"].data.params == {
        **expected["k2"].data.params,
        "git_commit": by_name["k2"].data.params["git_commit"],
    }

    # Again: nothing is trained, and with --only-missing-outputs no node has work.
    output = project.run(*command)
    assert output.count("is finished already and is not trained again") == 8
    assert "Plan: nothing to train; 8 runs are finished" in output
    output = project.run(*command, "--only-missing-outputs")
    assert "evaluation" not in output
    assert "2 runs are finished" in project.run(*RUNNER, "--params", "k=1-2,plan=true")


def test_ray_tasks_tokenize_to_the_store_of_one_process(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add()
    many_blocks = "corpus.synthetic.words_per_document=20,corpus.synthetic.train_documents=3500"
    command = ("--pipelines", "data_processing", "--params")
    one, two = Project.create(tmp_path / "one"), Project.create(tmp_path / "two")
    one.run(*command, many_blocks)
    output = two.run(*RUNNER, *command, f"{many_blocks},corpus.processes=2")
    assert "2 Ray tasks at a time" in output
    assert output.count("Encoding with") == 1
    store = Path("data", "03_primary", "synthetic", "token_store")
    for name in ("tokens.bin", "index.arrow", "store.json"):
        assert (two.root / store / name).read_bytes() == (one.root / store / name).read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 16 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no permission to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_unfit_nodes_and_a_lost_tracking_server_stop_nothing(
    bucket: Any, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data are in an object store, so that every node has a copy, or no space for one."""
    one = run_in_one_process(tmp_path / "one", EIGHT)
    monkeypatch.setenv("ERGOKEDRO_CACHE", str(tmp_path / "caches" / "driver"))
    cluster = Cluster(tmp_path / "caches")
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    try:
        cluster.add(ERGOKEDRO_CACHE=str(small_disk))
        cluster.add(PYTHONPATH=path_of_another_version(tmp_path / "other"))
        project = project_in_bucket(tmp_path / "many")
        # A port at which nobody listens.
        (project.root / "conf" / "small" / "tracking.yml").write_text(
            "enabled: true\ntracking_uri: http://127.0.0.1:9\nexperiment: ergokedro\n"
        )
        output = project.run(*RUNNER, "--params", EIGHT)
    finally:
        cluster.shutdown()
    assert output.count("MLflow tracking stopped") == 1
    assert output.count("No more runs go to node") == 2
    assert output.count("The disk is full") == 1
    assert output.count("This node has code of ergokedro") == 1
    assert "Traceback" not in output
    files = [file.removeprefix("sweep/data/") for file in bucket.find("sweep/data")]
    ours = outcome(lambda file: bucket.cat(f"sweep/data/{file}"), files)
    expected = outcome_of(one)
    del expected["results"]
    assert_equal(ours, expected)
    # Checkpoints, too, from which any node could resume.
    last = [f for f in files if f.endswith("step-000000007.safetensors")]
    assert len(last) == 8
    # The one fit node has fetched the store, once for all of its runs.
    (copy,) = (tmp_path / "caches" / "node1").rglob("tokens.bin")
    assert copy.read_bytes() == expected["03_primary/synthetic/token_store/tokens.bin"]


class Watch:
    """The last checkpoints of runs; one that has appeared must never be written again."""

    def __init__(self, project: Project):
        self._project = project
        self._seen: dict[Path, int] = {}

    def look(self) -> None:
        """Compare with what was seen before."""
        for file in self.checkpoints():
            if file.name == "step-000000420.safetensors":
                inode = file.stat().st_ino
                assert self._seen.setdefault(file, inode) == inode, f"{file} was written twice"

    def checkpoints(self) -> set[Path]:
        """All that there are."""
        models = self._project.root / "data" / "06_models" / "synthetic"
        return set(models.glob("*.checkpoints/*/*.safetensors"))


def test_killed_workers_nodes_and_drivers_change_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add()
    cluster.add()
    one = run_in_one_process(tmp_path / "one", LONG)
    expected = outcome_of(one)
    kinds = [("worker", "node", "driver")[i % 3] for i in range(KILLS)]
    rng = random.Random(0)
    rng.shuffle(kinds)
    sweeps = 0
    while kinds or not sweeps:
        project = Project.create(tmp_path / f"sweep{sweeps}")
        shutil.copytree(one.root / "data" / "01_raw", project.root / "data" / "01_raw")
        _run_with_kills(cluster, project, kinds, rng)
        assert_equal(outcome_of(project), expected)
        runs = mlflow_runs(project)
        newest = max(
            run.info.start_time for run in runs if run.info.run_name.endswith("everything")
        )
        last = [run for run in runs if run.info.start_time >= newest]
        assert sorted(run.info.run_name for run in last) == sorted(
            ["k1", "k2", "seeds.k1_seed1", "seeds.k2_seed1", "synthetic: everything"]
        )
        assert {run.info.status for run in last} == {"FINISHED"}
        sweeps += 1


def _run_with_kills(
    cluster: Cluster, project: Project, kinds: list[str], rng: random.Random
) -> None:
    """Run a sweep to its end; `kinds` loses what was killed meanwhile.

    Half of the kills wait for a new checkpoint, so that they hit runs that are being trained and
    not only processes that start.
    """
    command = [sys.executable, "-m", "kedro", "run", "--env", "small", *RUNNER, "--params", LONG]
    watch = Watch(project)
    while True:
        with (project.root / "log").open("a") as log:
            driver = subprocess.Popen(
                command, cwd=project.root, stdout=log, stderr=log, start_new_session=True
            )
        while driver.poll() is None:
            before, in_training = watch.checkpoints(), rng.random() < 0.5
            _wait(rng.uniform(1, 6), watch, driver)
            while in_training and driver.poll() is None and watch.checkpoints() <= before:
                _wait(0.5, watch, driver)
            if kinds and cluster.workers() and driver.poll() is None:
                _kill(kinds.pop(), cluster, driver, rng)
        watch.look()
        output = (project.root / "log").read_text()
        if driver.returncode == 0:
            assert "Traceback" not in output
            return
        assert driver.returncode == -signal.SIGKILL, output


def _wait(seconds: float, watch: Watch, driver: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and driver.poll() is None:
        watch.look()
        time.sleep(0.1)


def _kill(kind: str, cluster: Cluster, driver: subprocess.Popen[bytes], rng: random.Random) -> None:
    if kind == "worker":
        if workers := cluster.workers():
            rng.choice(workers).kill()
    elif kind == "node":
        cluster.kill_node(rng.randrange(len(cluster.others)))
        cluster.add()
    else:
        driver.kill()
        driver.wait()
