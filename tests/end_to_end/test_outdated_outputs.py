"""What is outdated, missing, damaged or mistaken: run again, or refused in one message."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from project import Project


@pytest.fixture
def project(finished: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the finished project, to be changed at will."""
    return finished[0].copy(tmp_path / "project")


def xe_table(project: Project) -> pd.DataFrame:
    return pd.read_csv(project.file("08_reporting", "xe_table.csv"))


def test_only_missing_outputs_measures_again_with_other_settings(project: Project) -> None:
    wide = xe_table(project)
    settings = "--only-missing-outputs", "--params", "analysis.confidence=0.6"
    output = project.run(*settings, "--to-outputs", "xe_table")
    assert "k1" not in output.split("Cross entropy")[0]  # nothing was trained or evaluated
    narrow = xe_table(project)
    assert (narrow.xe == wide.xe).all()
    assert (narrow.high - narrow.low < wide.high - wide.low).all()


@pytest.mark.slow
def test_only_missing_outputs_keeps_no_result_of_other_settings(project: Project) -> None:
    before = project.files()
    output = project.run("--only-missing-outputs")
    assert "k1: " not in output
    assert project.files() == before
    project.run("--only-missing-outputs", "--params", "k=1,training.epochs=2")
    assert xe_table(project).k.to_list() == [1]
    summary = json.loads(project.file("07_model_output", "k1/summary.json").read_text("utf-8"))
    assert summary["epochs"] == 2


def test_training_without_manifests_names_the_command(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    output = project.run("--pipeline", "training", status=1)
    assert "First run `kedro run --pipelines data_processing,mixture_design`" in output
    assert output.count("Missing: ") == 1
    assert "Traceback" not in output
    assert project.files() == {}


def test_a_mistake_found_in_the_middle_is_one_message_too(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    (tmp_path / "own.jsonl").write_text('{"text": "words", "label": "only"}\n' * 30)
    output = project.run(
        "--params", f"experiment=own,corpus.source={tmp_path / 'own.jsonl'}", status=1
    )
    assert "Error: The corpus has the labels ['only']" in output
    assert "Traceback" not in output
    assert project.files() == {}


def test_wrong_parameters_are_refused_before_any_work(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    output = project.run("--params", "training.epochs=0,training.epoch=3", status=1)
    assert "training.epochs = 0" in output
    assert "training.epoch: unknown key" in output
    assert "Traceback" not in output
    assert project.files() == {}
    assert not (project.root / "mlflow.db").exists()


def test_more_components_than_the_default(tmp_path: Path) -> None:
    """k = 7 works where the corpus has seven categories."""
    project = Project.create(tmp_path / "project")
    settings = "k=7,corpus.synthetic.components=7,corpus.synthetic.train_documents=60"
    project.run("--to-outputs", "k7.manifest", "--params", settings)
    manifest = json.loads(project.file("05_model_input", "manifests/k7.json").read_text())
    assert len(manifest["components"]) == 7
    assert len({component["windows"] for component in manifest["components"]}) == 1


@pytest.mark.slow  # what refuses them is tested where it is
def test_stale_and_damaged_inputs_are_refused(project: Project) -> None:
    tokens = project.file("03_primary", "token_store/tokens.bin")
    original = tokens.read_bytes()
    tokens.write_bytes(original[:-1] + b"\xff")
    output = project.run("--pipeline", "training", "--params", "k=1", status=1)
    assert "damaged: tokens.bin" in output
    assert "Traceback" not in output
    assert "kedro run --pipelines data_processing" in output
    tokens.write_bytes(original)

    project.run("--pipeline", "data_processing", "--params", "corpus.document_order_seed=1")
    output = project.run("--pipeline", "training", "--params", "k=1", status=1)
    assert "The manifest of k1 was made for another token store" in output
    assert "kedro run --pipelines mixture_design" in output

    project.run("--pipeline", "mixture_design")
    output = project.run("--pipeline", "analysis", status=1)
    assert "The results of k1 are stale" in output
    assert "kedro run --pipelines training" in output
