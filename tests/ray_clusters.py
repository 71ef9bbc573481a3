"""Ray clusters on this machine, buckets, and what a sweep leaves, for tests of sweeps."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from project import Project

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
RUNNER = ("--runner", "ergokedro.runtime.RayRunner")
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


def path_of_another_version(folder: Path) -> str:
    """PYTHONPATH with a copy of the package in `folder`; a module that computes differs in it."""
    import ergokedro

    target = folder / "ergokedro"
    shutil.copytree(Path(ergokedro.__file__).parent, target)
    with (target / "training" / "lr_schedule.py").open("a", encoding="utf-8") as file:
        file.write("\nDIFFERENT = True\n")
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def project_in_bucket(folder: Path) -> Project:
    """A project whose data are in the bucket of the fixture."""
    project = Project.create(folder)
    globals_file = project.root / "conf" / "small" / "globals.yml"
    globals_file.write_text("experiment: synthetic\ndata_root: s3://sweep/data\n")
    return project
