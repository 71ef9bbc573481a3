"""Sweeps on a Ray cluster of three nodes: the bits of one process, whatever dies."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from ergokedro.data.tokenizer import train_bpe
from project import Project
from published import save_published

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
pytestmark = pytest.mark.slow

RUNNER = ("--runner", "ergokedro.runtime.RayRunner")
EIGHT = "k=1-2,controls.seeds=4"
# Long enough to be killed, with checkpoints to resume from.
LONG = "k=1-2,controls.seeds=2,training.epochs=60,training.checkpoints.every=20"
# One run, trained by two processes.
TOGETHER = "k=2,training.processes=2,training.epochs=60,training.checkpoints.every=20"
KILLS = int(os.environ.get("ERGOKEDRO_KILLS", "20"))
_OF_TIME = ["seconds", "tokens_per_second"]
_OBJECTS = 80_000_000  # bytes, the least that Ray takes


class Cluster:
    """Nodes of one processor each, with a cache folder of their own; the first one is the head."""

    def __init__(self, caches: Path):
        self._caches, self._made = caches, 0
        head = {**self._node(), "include_dashboard": False}
        self._cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address
        self.others: list[Any] = []

    def _node(self, **environment: str) -> dict[str, Any]:
        self._made += 1
        variables = {
            "ERGOKEDRO_CACHE": str(self._caches / f"node{self._made}"),
            "RAY_worker_niceness": "0",  # otherwise other tests go first
            **environment,
        }
        return {"num_cpus": 1, "object_store_memory": _OBJECTS, "env_vars": variables}

    def add(self, **environment: str) -> None:
        """Let another node join."""
        self.others.append(self._cluster.add_node(**self._node(**environment)))

    def kill_node(self, index: int) -> None:
        """Kill all processes of a node."""
        self._cluster.remove_node(self.others.pop(index), allow_graceful=False)

    def workers(self, title: str = "ray::run_namespace") -> list[psutil.Process]:
        """The processes that have begun with a run, or of another title."""
        raylets = {
            process.process.pid
            for node in [self._cluster.head_node, *self.others]
            for process in node.all_processes["raylet"]
        }
        return [
            process
            for process in psutil.process_iter(["ppid", "cmdline"])
            if process.info["ppid"] in raylets
            and (process.info["cmdline"] or [""])[0].startswith(title)
        ]

    def shutdown(self) -> None:
        """End all."""
        self._cluster.shutdown()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The head; tests add the other nodes."""
    started = Cluster(tmp_path / "caches")
    monkeypatch.setenv("RAY_ADDRESS", started.address)
    yield started
    started.shutdown()


def run_in_one_process(folder: Path, settings: str) -> Project:
    project = Project.create(folder)
    project.run("--params", settings)
    return project


def outcome(read: Callable[[str], bytes], files: list[str]) -> dict[str, Any]:
    """All results, without what was measured of the speed."""
    found: dict[str, Any] = {}
    for file in sorted(files):
        name = Path(file).name
        if "checkpoints" in file:
            continue
        if name in (
            "tokens.bin",
            "index.arrow",
            "store.json",
            "model.safetensors",
            "nll.npz",
            "README.md",
        ):
            found[file] = read(file)
        elif name == "summary.json":
            values = json.loads(read(file))
            found[file] = {key: values[key] for key in values if key not in _OF_TIME}
        elif name in ("xe_table.csv", "acceptance.csv"):
            found[file] = read(file)
    return found


def outcome_of(project: Project) -> dict[str, Any]:
    data = project.root / "data"
    files = [str(p.relative_to(data)) for p in data.rglob("*") if p.is_file()]
    found = outcome(lambda file: (data / file).read_bytes(), files)
    table = pd.read_parquet(project.file("08_reporting", "results.parquet"))
    return {**found, "results": table.to_csv(index=False)}


def assert_equal(ours: dict[str, Any], expected: dict[str, Any]) -> None:
    assert ours.keys() == expected.keys()
    assert [name for name in expected if ours[name] != expected[name]] == []


def mlflow_runs(project: Project) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ergokedro")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], max_results=10_000))


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


def package_of_another_version(folder: Path) -> Path:
    """A folder with the package, in which a module that computes differs."""
    import ergokedro

    target = folder / "ergokedro"
    shutil.copytree(Path(ergokedro.__file__).parent, target)
    with (target / "training" / "lr_schedule.py").open("a", encoding="utf-8") as file:
        file.write("\nDIFFERENT = True\n")
    return folder


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


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The file system of an S3 server of this process, with an empty bucket."""
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    filesystem = s3fs.S3FileSystem()
    filesystem.mkdir("s3://sweep")
    yield filesystem
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


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
        path = f"{package_of_another_version(tmp_path / 'other')}:{os.environ['PYTHONPATH']}"
        cluster.add(PYTHONPATH=path)
        project = Project.create(tmp_path / "many")
        globals_file = project.root / "conf" / "small" / "globals.yml"
        globals_file.write_text("experiment: synthetic\ndata_root: s3://sweep/data\n")
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
