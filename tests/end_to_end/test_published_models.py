"""docs/howto/pretrained-reference.md, by the real commands on small saved models."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ergokedro.data.tokenizer import train_bpe
from ergokedro.design.nll import load_nll
from how_to import run_page
from marked_text import write_csv
from project import ROOT, Project
from published import save_published

pytestmark = pytest.mark.slow
PAGE = "pretrained-reference.md"
WORDS = ["ergodic", "source", "of", "some", "text", "with", "many", "short", "words"]


def page_commands() -> list[list[str]]:
    """The commands that begin with `kedro run --params`, as the page has them."""
    text = (ROOT / "docs" / "howto" / PAGE).read_text(encoding="utf-8")
    lines = re.findall(r"^kedro run (--params .*)$", text, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a corpus, and two models in the folders that the page names."""
    project = Project.create(tmp_path / "project")
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 260)) for _ in range(66)]
    write_csv(project.root / "papers.csv", [(text, "xyz"[i % 3]) for i, text in enumerate(texts)])
    save_published(project.root / "models" / "pythia-70m", train_bpe(texts, 300))
    save_published(
        project.root / "models" / "smollm2", train_bpe(texts, 280), begin="<|endoftext|>"
    )
    return project


def test_the_page(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, run = page_commands()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    models, hidden = project.root / "models", project.root / "hidden"
    shutil.move(models / "smollm2", hidden)
    output = project.run(*plan, status=1)
    assert "references = 'models/smollm2'" in output
    assert "Traceback" not in output
    assert not (project.root / "data" / "06_models").exists()
    shutil.move(hidden, models / "smollm2")

    output = project.run(*plan)
    assert "References, measured and not trained: models/pythia-70m, models/smollm2" in output
    assert not list((project.root / "data").rglob("nll.npz"))

    output = project.run(*run)
    outputs = project.root / "data" / "07_model_output" / "papers"
    same, other = (load_nll(outputs / f"references.{name}" / "nll.npz")
                   for name in ("pythia-70m", "smollm2"))  # fmt: skip
    assert (same.meta.same_tokens, other.meta.same_tokens) == (True, False)
    assert same.nll["test"].shape == other.nll["test"].shape == load_nll(
        outputs / "k1" / "nll.npz"
    ).nll["test"].shape  # fmt: skip
    check_mlflow(project, check_results(project, monkeypatch))
    assert "Published models on the same text" in report(project)
    for name, unit in (("pythia-70m", "nats per token"), ("smollm2", "bits per byte")):
        assert re.search(rf"windows {name} is .* the run of K = 3.*{unit}, paired", report(project))

    again = project.run(*run)
    for name in ("pythia-70m", "smollm2"):
        assert f"models/{name} is evaluated already" in again


def check_results(project: Project, monkeypatch: pytest.MonkeyPatch) -> float:
    """The page's own code; XE of the first model on all components, on test text."""
    monkeypatch.chdir(project.root)
    table: pd.DataFrame = run_page(PAGE)["table"]
    assert set(table.run) == {"references.pythia-70m", "references.smollm2"}
    assert set(table.quantity) == {"xe", "bits_per_byte"}
    assert set(table.k) == {1, 2, 3}
    assert table.value.notna().all()
    together = table[(table.run == "references.pythia-70m") & (table.component == "")]
    return float(together.set_index(["quantity", "k"]).value["xe", 3])


def check_mlflow(project: Project, xe: float) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    (child,) = [run for run in runs if run.info.run_name == "references.pythia-70m"]
    assert child.info.status == "FINISHED"
    assert child.data.params["model_type"] == "gpt_neox"
    assert child.data.metrics["test_xe/all"] == pytest.approx(xe, rel=1e-6)


def report(project: Project) -> str:
    return (project.root / "data" / "08_reporting" / "papers" / "report.md").read_text("utf-8")
