"""The MLflow store: paths of any spelling, two first runs at once, moved projects, names."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_metric_name

from ergokedro.errors import ErgokedroError
from ergokedro.runtime.mlflow_store import (
    metric_name,
    open_store,
    runs_page,
    sqlite_file,
    sqlite_uri,
    tracking_uri,
)

LABELS = [
    "C#",
    "C+",
    "C_",
    "C",
    "all",
    "_x0061_ll",
    "C_x0023_",
    "a/b",
    "a b",
    ".",
    "..",
    "数学",
    "$",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that open_store has made; to be copied."""
    folder = tmp_path_factory.mktemp("store")
    open_store(sqlite_uri(folder / "mlflow.db"), "ergokedro")
    return folder


@pytest.mark.parametrize("name", ["a b", "50%", "a%20b", "a#b", "a?b=c", "größe"])
def test_a_database_in_a_folder_of_any_name(tmp_path: Path, store: Path, name: str) -> None:
    folder = tmp_path / name
    shutil.copytree(store, folder)
    uri = sqlite_uri(folder / "mlflow.db")
    assert sqlite_file(uri) == folder / "mlflow.db"
    client, experiment = open_store(uri, "ergokedro")
    run = client.create_run(experiment)
    client.log_dict(run.info.run_id, {"k": 1}, "manifest.json")
    found = MlflowClient(uri).list_artifacts(run.info.run_id)
    assert [file.path for file in found] == ["manifest.json"]
    assert len(list((folder / "mlruns").rglob("manifest.json"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("configured", "file"),
    [
        (None, "mlflow.db"),
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:///sub/runs.db", "sub/runs.db"),
    ],
)
def test_a_relative_database_belongs_to_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: str | None, file: str
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert sqlite_file(tracking_uri(configured, tmp_path)) == tmp_path / file
    assert tracking_uri("http://localhost:5000", tmp_path) == "http://localhost:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////elsewhere/mlflow.db")
    assert tracking_uri(configured, tmp_path) == "sqlite:////elsewhere/mlflow.db"


def first_run(uri: str) -> None:
    client, experiment = open_store(uri, "ergokedro")
    client.create_run(experiment)


def test_an_experiment_is_shown_as_model_training(tmp_path: Path, store: Path) -> None:
    """Also one of an earlier version; what somebody has chosen stays."""
    shutil.copytree(store, tmp_path / "project")
    file = tmp_path / "project" / "mlflow.db"
    kind, view = "mlflow.experimentKind", "mlflow.sharedViewState.runs-by-k"

    def tags() -> dict[str, str]:
        client, experiment = open_store(sqlite_uri(file), "ergokedro")
        found = client.get_experiment(experiment).tags
        client.set_experiment_tag(experiment, kind, "regression")
        return dict(found)

    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM experiment_tags")
    first = tags()
    assert first[kind] == "custom_model_development"
    envelope = json.loads(first[view])
    assert envelope["name"] == "Runs by K"
    assert "metrics.`test_xe/all`" in json.loads(envelope["state"])["selectedColumns"]
    assert tags() == {**first, kind: "regression"}


def test_the_address_of_the_runs() -> None:
    query = "workflowType=machine_learning&viewStateShareKey=runs-by-k"
    address = runs_page("sqlite:////project/mlflow.db", "1")
    assert address == f"http://127.0.0.1:5000/#/experiments/1/runs?{query}"
    address = runs_page("https://mlflow.example.org/", "7")
    assert address == f"https://mlflow.example.org/#/experiments/7/runs?{query}"


def test_first_runs_at_once_make_one_whole_database(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "mlflow.db")
    context = multiprocessing.get_context("fork")  # MLflow is imported already
    processes = [context.Process(target=first_run, args=(uri,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    client, experiment = open_store(uri, "ergokedro")
    assert len(client.search_runs([experiment])) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db"]


def test_a_copied_project_keeps_its_artifacts_to_itself(tmp_path: Path, store: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(store, first)
    client, experiment = open_store(sqlite_uri(first / "mlflow.db"), "ergokedro")
    run = client.create_run(experiment)
    client.log_dict(run.info.run_id, {"k": 1}, "manifest.json")
    shutil.copytree(first, second)
    client, experiment = open_store(sqlite_uri(second / "mlflow.db"), "ergokedro")
    copied = client.get_run(run.info.run_id).info.artifact_uri
    assert copied == f"{(second / 'mlruns').as_uri()}/{run.info.run_id}/artifacts"
    new = client.create_run(experiment)
    client.log_dict(new.info.run_id, {"k": 2}, "manifest.json")
    assert len(list((first / "mlruns").rglob("manifest.json"))) == 1
    assert len(list((second / "mlruns").rglob("manifest.json"))) == 2


def test_a_chosen_artifact_folder_stays(tmp_path: Path, store: Path) -> None:
    shutil.copytree(store, tmp_path / "project")
    uri = sqlite_uri(tmp_path / "project" / "mlflow.db")
    MlflowClient(uri).create_experiment("own", "s3://bucket/artifacts")
    client, experiment = open_store(uri, "own")
    assert client.get_experiment(experiment).artifact_location == "s3://bucket/artifacts"


def half_migrated(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE _alembic_tmp_metrics (key TEXT)")


def locked(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file)
    database.execute("BEGIN IMMEDIATE")
    return database


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (half_migrated, "is no complete MLflow database. Move it away: `mv "),
        (lambda file: file.write_bytes(b"text" * 2000), "Move it away: `mv "),
        (locked, "Another program has locked it"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(
    tmp_path: Path, store: Path, spoil: object, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ergokedro.runtime.mlflow_store._BUSY_SECONDS", 0.1)
    file = tmp_path / "mlflow.db"
    shutil.copy(store / "mlflow.db", file)
    assert callable(spoil)
    kept = spoil(file)
    with pytest.raises(ErgokedroError, match=re.escape(str(file))) as error:
        open_store(sqlite_uri(file), "ergokedro")
    assert expected in error.value.message
    del kept


def unescape(name: str) -> str:
    """What the component of a metric was."""
    return re.sub(r"_x([0-9A-F]{4,6})_", lambda match: chr(int(match[1], 16)), name)


@pytest.mark.parametrize("label", LABELS)
def test_metric_names_are_mlflows(label: str) -> None:
    name = metric_name("test_xe", label)
    _validate_metric_name(name)
    assert unescape(name) == f"test_xe/{label}"


def test_usual_names_stay_as_they_are() -> None:
    assert metric_name("test_xe", "cs.DS") == "test_xe/cs.DS"
    assert metric_name("test_xe", "C#") == "test_xe/C_x0023_"
    assert metric_name("test_xe", None) == "test_xe/all"
    assert metric_name("train_loss", "") == "train_loss"
    assert metric_name("test_xe", "all") == "test_xe/_x0061_ll"


@given(st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40))
def test_different_components_have_different_metrics(first: str, second: str) -> None:
    for label in (first, second):
        _validate_metric_name(metric_name("test_xe", label))
        assert metric_name("test_xe", label) != metric_name("test_xe", None)
    same = metric_name("test_xe", first) == metric_name("test_xe", second)
    assert same == (first == second)


def test_long_components_have_different_metrics() -> None:
    names = {metric_name("test_xe", "x" * 300 + end) for end in "ab"}
    assert len(names) == 2
    assert max(map(len, names)) <= 250
