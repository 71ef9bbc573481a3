"""Runs of one sweep as jobs of their own, as a batch system starts them, in one data root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ergokedro.data.tokenizer import train_bpe
from project import Project
from published import save_published
from warm import Command

COMPONENTS = 8
SETTINGS = (
    f"corpus.synthetic.components={COMPONENTS},mixture.top_n={COMPONENTS},references=published"
)


def start(project: Project, *arguments: str, params: str = "") -> Command:
    settings = ",".join(filter(None, (SETTINGS, params)))
    return project.start("run", "--env", "small", *arguments, "--params", settings)


def run(project: Project, *arguments: str) -> None:
    command = start(project, *arguments)
    output, _ = command.communicate()
    assert command.returncode == 0, output


def results_of(project: Project) -> dict[str, bytes]:
    """The NLL arrays, that of a published model among them, and the table of results."""
    files = [
        *(project.root / "data/07_model_output").rglob("nll.npz"),
        project.file("08_reporting", "results.parquet"),
    ]
    return {str(file.relative_to(project.root)): file.read_bytes() for file in files}


@pytest.mark.slow
def test_eight_jobs_at_once_and_two_of_the_same_run(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "jobs")
    save_published(project.root / "published", train_bpe(["some text of a few words"] * 20, 300))
    run(project, "--pipelines", "data_processing,mixture_design")
    alone = project.copy(tmp_path / "alone")
    run(alone, "--pipelines", "training,analysis")

    numbers = [*range(1, COMPONENTS + 1), 3]  # one run is started twice
    jobs = [
        start(project, "--pipelines", "training", params=f"k={k}{'' if k == 1 else ',references='}")
        for k in numbers
    ]
    outputs = [job.communicate()[0] for job in jobs]
    for k, job, output in zip(numbers, jobs, outputs, strict=True):
        if job.returncode != 0:
            assert k == 3, output
            assert "Another `kedro run` is writing k3." in output
    assert 0 in {jobs[2].returncode, jobs[8].returncode}
    assert sum("published: its tokenizer gives" in output for output in outputs) == 1
    run(project, "--pipelines", "analysis")
    assert results_of(project) == results_of(alone)
    assert len(results_of(project)) == COMPONENTS + 1 + 1

    # What all jobs wrote to is whole: a further command finds that nothing is missing.
    keys = json.loads(project.file("08_reporting", "provenance.json").read_text())
    assert {f"k{k}.nll" for k in range(1, COMPONENTS + 1)} <= keys.keys()
    again, _ = start(project, "--only-missing-outputs").communicate()
    assert "k3" not in again
