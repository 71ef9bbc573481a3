"""The figure of docs/howto/extend-figure.md, made by the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from how_to import python_blocks
from project import Project


@pytest.fixture
def project(finished: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the finished project with the page's code."""
    project = finished[0].copy(tmp_path / "project")
    (code,) = python_blocks("extend-figure.md")
    (project.root / "src" / "gain_by_k.py").write_text(code, encoding="utf-8")
    return project


def test_a_plugin_draws_a_figure(project: Project) -> None:
    only = "--nodes", "plot_gain_by_k"
    project.run("--pipelines", "analysis", "--params", "plugins=gain_by_k", *only)
    for ending in ("png", "svg", "json"):
        assert project.file("08_reporting", f"gain_by_k.{ending}").stat().st_size > 300


@pytest.mark.slow
def test_a_plugin_adds_a_figure_to_the_report(project: Project) -> None:
    project.run("--pipelines", "analysis", "--params", "plugins=gain_by_k")
    for ending in ("png", "svg", "csv", "json"):
        assert project.file("08_reporting", f"gain_by_k.{ending}").stat().st_size > 300
    report = project.file("08_reporting", "report.md").read_text(encoding="utf-8")
    assert "## In-context gain against K\n\n![The in-context gain is " in report
    assert "](gain_by_k.png)" in report
    page = project.file("08_reporting", "report.html").read_text(encoding="utf-8")
    assert "<h2>In-context gain against K</h2>" in page
