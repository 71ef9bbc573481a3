"""The report on a grid shows the numbers of all its experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.parameters import ModelParameters
from ergokedro.reporting.grid import (
    collect,
    grid_rows,
    grid_series,
    plot_grid,
    render_grid,
    windows_differ,
)
from synthetic_results import PNG, make_design, make_manifests, make_results, make_summary

TOTALS = {100_000: 0.3, 200_000: 0.1}  # D -> what XE is higher by, nats
SIZES = {"micro": (500_000, 0.0), "tiny": (1_400_000, -0.05)}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """A grid of two totals and two sizes; XE of each is that of one experiment, shifted."""
    results, parts = make_results(), []
    for preset, (parameters, smaller) in SIZES.items():
        for total, higher in TOTALS.items():
            xe = (results.quantity == "xe").to_numpy()
            shifted = results.copy()
            for column in ("value", "low", "high"):
                shifted[column] += np.where(xe, higher + smaller, 0.0)
            settings = {"model": ModelParameters(preset=preset).model_dump(), "training": {}}
            summary = make_summary(make_manifests()[0], parameters=parameters, settings=settings)
            design = make_design().model_copy(update={"total_tokens": total})
            parts.append(collect(f"grid-D{total}-{preset}", shifted, design, summary))
    return pd.concat(parts, ignore_index=True)


def test_every_point_and_k_has_a_row_with_its_own_numbers(table: pd.DataFrame) -> None:
    rows = grid_rows(table)
    assert [(r.preset, r.total_tokens, r.k) for r in rows] == [
        (preset, total, k) for preset in SIZES for total in TOTALS for k in range(1, 6)
    ]
    assert grid_series(table) == ["smallest", "all"]
    results = make_results()
    here = results[(results.split == "test") & (results.series == "smallest") & (results.k == 3)]
    xe = here[here.quantity == "xe"].value.item()
    difference = here[here.quantity == "difference_to_k1"].iloc[0]
    for row in rows:
        if row.k == 3:
            expected = xe + TOTALS[row.total_tokens] + SIZES[row.preset][1]
            shown: Any = row.xe[0]
            assert shown.value == pytest.approx(expected)
            assert row.difference is not None
            assert row.difference.value == pytest.approx(difference.value)
            assert row.note == difference.note
        if row.k == 1:
            assert row.difference is None


def test_the_difference_is_the_balanced_one_where_sets_were_run(table: pd.DataFrame) -> None:
    balanced = table[table.quantity == "difference_to_k1"].assign(
        series="balanced", value=lambda rows: 2 * rows.value, note="of sets"
    )
    both = pd.concat([table, balanced], ignore_index=True)
    for row, alone in zip(grid_rows(both), grid_rows(table), strict=True):
        if alone.difference is not None:
            assert row.difference is not None
            assert row.difference.value == pytest.approx(2 * alone.difference.value)
            assert row.note == "of sets"
    assert "mean over sets, paired by window" in " ".join(render_grid(both, PNG)[0].split())
    partly = both[(both.series != "balanced") | (both.total_tokens == min(TOTALS))]
    assert grid_rows(partly) == grid_rows(table)


def test_the_report_has_a_table_in_markdown_and_in_html(table: pd.DataFrame) -> None:
    markdown, page = render_grid(table, PNG)
    rows = [line for line in markdown.splitlines() if line.startswith(("| micro", "| tiny"))]
    assert len(rows) == 2 * 2 * 5
    assert rows[0].startswith("| micro | 500,000 | 100,000 | 1 | ")
    assert "(xe_grid.png)" in markdown
    assert page.count("<tr>") == 21
    assert "data:image/png;base64," in page


def test_different_windows_are_reported(table: pd.DataFrame) -> None:
    sentence = "measured on different held-out windows"
    assert not windows_differ(table)
    assert sentence not in render_grid(table, PNG)[0]
    fewer = table.assign(windows=table.windows - (table.total_tokens == 100_000))
    assert windows_differ(fewer)
    assert sentence in render_grid(fewer, PNG)[0]


def test_the_figure_has_a_column_per_size_and_a_curve_per_k(table: pd.DataFrame) -> None:
    figure: Any = plot_grid(table)
    upper, lower = figure.axes[:2], figure.axes[2:]
    assert [axis.get_title() for axis in upper] == ["micro: N = 500,000", "tiny: N = 1,400,000"]
    for axis in upper:
        assert len(axis.containers) == 5
        assert axis.get_xscale() == "log"
        line = axis.containers[0].lines[0]
        assert line.get_xdata().tolist() == list(TOTALS)
        assert line.get_ydata()[0] - line.get_ydata()[1] == pytest.approx(0.2)
    assert all(len(axis.containers) == 4 for axis in lower)
