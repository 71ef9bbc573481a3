"""A report of fewer runs does not replace one of more without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset

from ergokedro.analysis.controls import plan_experiment
from ergokedro.parameters import Parameters
from ergokedro.runtime.config_loader import check_parameters
from ergokedro.runtime.left_out import left_out
from project import Project


def parameters(k: int | str = "all", **controls: Any) -> Parameters:
    return check_parameters({"k": k, "controls": controls, "mixture": {"top_n": 3}})


def analysed(before: Parameters, missing: tuple[str, ...] = ()) -> DataCatalog:
    """A catalog with the settings of a report, and the NLL of its runs."""
    runs = plan_experiment(before.runs, before.n_components, before.controls)
    nll = {f"{run.name}.nll": MemoryDataset(1) for run in runs if run.name not in missing}
    return DataCatalog({"settings": MemoryDataset(before.model_dump(mode="json")), **nll})


def test_what_would_be_lost_is_named_with_the_command_that_brings_it_back() -> None:
    before = parameters(subsets=True, seeds=2)
    message = left_out(analysed(before), parameters(2))
    assert message is not None
    assert "also has K = 1, 3 and 3 runs of seeds and 8 runs of subsets. To write" in message
    assert "--pipeline analysis --params k=all,controls.subsets=true,controls.seeds=2`" in message
    assert "k=all`" in str(left_out(analysed(parameters()), parameters(2)))
    assert "k=2-3`" in str(left_out(analysed(parameters("2-3")), parameters(1)))
    only = left_out(analysed(parameters(pseudo=True)), parameters())
    assert "params controls.pseudo=true`" in str(only)


def test_fewer_components_are_another_design() -> None:
    five = check_parameters({"mixture": {"top_n": 5}})
    message = str(left_out(analysed(five), parameters()))
    assert "also has K = 4, 5. To write that again: `kedro run --params mixture.top_n=5`" in message
    pinned = check_parameters({"mixture": {"components": ["a", "b c", "d", "e"]}})
    message = str(left_out(analysed(pinned), parameters()))
    components = '["a", "b c", "d", "e"]'
    assert f"`kedro run --params 'mixture.top_n=5,mixture.components={components}'`" in message


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (parameters(), parameters()),
        (parameters(2), parameters()),
        (parameters(), parameters(subsets=True)),
        (parameters("1-2", seeds=2), parameters(seeds=3)),
    ],
)
def test_nothing_is_said_where_nothing_is_lost(before: Parameters, now: Parameters) -> None:
    assert left_out(analysed(before), now) is None


def test_runs_whose_results_are_gone_cannot_be_lost() -> None:
    assert left_out(analysed(parameters(), missing=("k1", "k3")), parameters(2)) is None


def test_a_first_report_and_one_of_another_version_lose_nothing() -> None:
    assert left_out(DataCatalog({}), parameters(2)) is None
    other = {"k": "all", "a_setting_of_another_version": 1}
    assert left_out(DataCatalog({"settings": MemoryDataset(other)}), parameters(2)) is None


@pytest.mark.slow
def test_the_named_command_writes_the_earlier_report_again(
    finished: tuple[Project, str], tmp_path: Path
) -> None:
    project = finished[0].copy(tmp_path / "project")
    report = project.file("08_reporting", "report.md")
    before = report.read_text(encoding="utf-8")
    output = project.run("--pipelines", "analysis,training", "--params", "k=2")
    assert report.read_text(encoding="utf-8") != before
    assert (
        output.count("also has K = 1, 3. To write that again: `kedro run --pipeline analysis") == 2
    )
    restored = project.run("--pipeline", "analysis", "--params", "k=all")
    assert "also has" not in restored
    assert report.read_text(encoding="utf-8") == before
