"""What figures say of the intervals that they show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from ergokedro.reporting.figures import FIGURES
from ergokedro.reporting.figures.chart import Chart, Curve
from ergokedro.reporting.results import coverage, interval_note
from synthetic_results import make_all_results


def rows(level: float = 0.95, draws: list[int] | None = None, seeds: int = 1) -> pd.DataFrame:
    """Three differences with intervals of this coverage, and one row without an interval."""
    freedom = np.array([3.0, 12.5, 200.0, np.nan])
    half = t.ppf((1 + level) / 2, freedom) * 0.01
    return pd.DataFrame(
        {
            "low": 0.2 - half,
            "high": 0.2 + half,
            "standard_error": 0.01,
            "degrees_of_freedom": freedom,
            "draws": draws or [1, 1, 1, 1],
            "seeds": seeds,
        }
    )


@pytest.mark.parametrize("level", [0.8, 0.95, 0.975])
def test_the_coverage_is_that_of_the_intervals(level: float) -> None:
    assert coverage(rows(level)) == pytest.approx(level, abs=1e-12)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (rows(), "held-out documents"),
        (rows(seeds=3), "held-out documents and seeds"),
        (rows(draws=[3, 3, 3, 1]), "held-out documents, training documents and seeds"),
        (
            rows(draws=[1, 3, 3, 3]),
            "held-out documents, some also over training documents and seeds",
        ),
        (
            rows(draws=[1, 3, 3, 3], seeds=2),
            "held-out documents and seeds, some also over training documents",
        ),
    ],
)
def test_the_chance_that_intervals_hold_is_named(table: pd.DataFrame, words: str) -> None:
    assert interval_note(table, table) == f" Bars: 95 % intervals over {words}."


def test_without_intervals_nothing_is_said_of_them() -> None:
    table = rows()
    assert interval_note(table, table[table.low.isna()]) == ""
    percentiles = table.assign(degrees_of_freedom=np.nan)
    assert interval_note(percentiles, percentiles, "Band") == (
        " Band: intervals over held-out documents."
    )


def test_every_figure_with_intervals_says_what_they_are() -> None:
    results = make_all_results()
    charts = {
        name: figure.plot(results)
        for name, figure in FIGURES.items()
        if figure.inputs == ("results",) and name != "controls"  # this chain has none
    }
    with_intervals = {name for name, chart in charts.items() if has_intervals(chart)}
    assert with_intervals >= {"effect_of_k", "xe_by_k", "decomposition", "naming", "specialists"}
    for name, chart in charts.items():
        said = "95 % intervals over held-out documents" in chart.note
        assert said == (name in with_intervals), name
        assert chart.note in chart.describe()


def has_intervals(chart: Chart) -> bool:
    return any(isinstance(p, Curve) and bool(np.isfinite(p.low).any()) for p in chart.parts)
