"""The notebook runs on the results of a real command, and its two files say the same."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from project import ROOT, Project

NOTEBOOK = ROOT / "notebooks" / "results.ipynb"


def test_the_pair_is_in_sync() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    script = jupytext.read(NOTEBOOK.with_suffix(".py"))
    cells, expected = ([(c.cell_type, c.source) for c in n.cells] for n in (notebook, script))
    assert cells == expected, "run `jupytext --sync notebooks/results.ipynb`"
    assert not any(cell.get("outputs") for cell in notebook.cells)


def test_the_notebook_runs_and_shows_a_figure(
    finished: tuple[Project, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project, _ = finished
    monkeypatch.setenv("KEDRO_ENV", "small")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    before = project.files()
    NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=3000,
        kernel_name="python3",
        resources={"metadata": {"path": str(project.root)}},
    ).execute()
    assert project.files() == before
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in shown if output.output_type == "error"]
    pictures = [o for o in shown if "image/png" in o.get("data", {})]
    assert len(pictures) == 1
    answer = shown[-1].data["text/plain"]
    for name in ("first half", "second half", "standard_error"):
        assert name in answer
