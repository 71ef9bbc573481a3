"""The results in the documentation can be reproduced."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ergokedro.analysis.checks import excess_bounds
from ergokedro.design.nll import load_nll
from ergokedro.parameters import validate_parameters
from project import ROOT, Project

RESULTS = ROOT / "docs" / "results"


def value(results: pd.DataFrame, quantity: str, series: str, k: int) -> pd.Series:
    """The row of source-1 on test text."""
    rows = results[
        (results.quantity == quantity)
        & (results.series == series)
        & (results.k == k)
        & (results.split == "test")
        & (results.position == 0)
        & (results.component == "source-1")
    ]
    return rows.squeeze()


@pytest.mark.slow  # the embedded corpus, the losses and the whole command have exact tests
def test_a_specialist_of_the_quick_results_is_reproduced(tmp_path: Path) -> None:
    """The starvation of source-1 at K = 3, with the K = 1 model's stored XE: paired by window, so
    that the interval is far narrower than that of the XE."""
    stored = pd.read_parquet(RESULTS / "quick" / "results.parquet")
    alone = value(stored, "xe", "component", k=1)
    starvation = value(stored, "starvation", "component", k=3)

    project = Project.create(tmp_path / "project")
    command = json.loads((RESULTS / "quick" / "run.json").read_text())["command"]
    project.kedro(*command.split()[1:], "--to-outputs", "specialists.c1_of3.nll")

    data = project.root / "data"
    file = data / "07_model_output" / "quick" / "specialists.c1_of3" / "nll.npz"
    windows = pd.read_parquet(data / "05_model_input" / "quick" / "evaluation_windows.parquet")
    here = (windows[windows.split == "test"].component == "source-1").to_numpy()
    assert here.sum() == starvation.windows
    xe = load_nll(file).nll["test"][here].mean(dtype=float)
    assert alone.value + starvation.low <= xe <= alone.value + starvation.high


@pytest.mark.slow
def test_bounds_hold_for_sources_that_no_setting_was_chosen_on(tmp_path: Path) -> None:
    """The bounds of the environment quick, on a corpus of other sources and documents."""
    project = Project.create(tmp_path / "project")
    settings = "experiment=other,k=1+3,corpus.synthetic.seed=1"
    project.kedro("run", "--env", "quick", "--params", settings)
    folder = project.root / "data" / "08_reporting" / "other"
    results = pd.read_parquet(folder / "results.parquet")
    excess = results[
        (results.quantity == "excess") & (results.series == "chain") & (results.split == "test")
    ]
    quick = yaml.safe_load((ROOT / "conf" / "quick" / "parameters.yml").read_text("utf-8"))
    bounds = excess_bounds(validate_parameters(quick))
    assert sorted(bounds) == sorted(excess.k)
    for row in excess.itertuples():
        assert row.value < bounds[row.k]
    # They are not checked by the report on that corpus, for which they were not made.
    checks = pd.read_csv(folder / "acceptance.csv").check
    assert checks.str.contains("no leak").sum() == 2
    assert not checks.str.contains("on test text").any()


def test_the_pages_have_the_numbers_of_the_kept_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RESULTS))
    page = importlib.import_module("page")
    tables = page.Tables(RESULTS)
    for name, template in page.PAGES.items():
        written = (RESULTS.parent / name).read_text("utf-8")
        assert page.render(tables, template) == written, "make results-page"
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    for experiment in ("balanced-300k", "grid-D2400000-micro", "docstrings"):
        number = tables.number(experiment, "difference_to_k1", "balanced", k=5)
        assert number in readme


@pytest.mark.parametrize("folder", sorted(p.parent.name for p in RESULTS.glob("*/run.json")))
def test_kept_results_say_where_they_come_from(folder: str) -> None:
    run = json.loads((RESULTS / folder / "run.json").read_text())
    assert run["command"].startswith("kedro run")
    assert run["runs"] >= 5
    pages = [RESULTS.parent / "results.md", *RESULTS.glob("*.md")]
    assert any(run["commit"][:7] in page.read_text() for page in pages)
    table = pd.read_csv(RESULTS / folder / "xe_table.csv")
    results = pd.read_parquet(RESULTS / folder / "results.parquet")
    chain = results[
        (results.quantity == "xe") & (results.series == "chain") & (results.split == "test")
    ]
    pd.testing.assert_series_equal(
        table.xe, chain.sort_values("k").value.reset_index(drop=True), check_names=False
    )
