"""Figures of specialists and decomposition show the numbers of the results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ergokedro.reporting.figures.chart import Bars, Curve, stack
from ergokedro.reporting.figures.decomposition import plot_decomposition, plot_others_worth
from ergokedro.reporting.figures.distinguishability import plot_distinguishability
from ergokedro.reporting.figures.identification import plot_identification, plot_naming
from ergokedro.reporting.figures.own_text import plot_own_text
from ergokedro.reporting.figures.specialists import plot_specialists
from ergokedro.reporting.figures.static import draw_chart
from ergokedro.reporting.figures.style import term_styles
from ergokedro.reporting.results import distinguishability_matrix, pick_rows
from ergokedro.reporting.transfer import find_transfer
from synthetic_results import NAMES, make_all_results


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_all_results()


def test_less_text_of_its_own(results: pd.DataFrame) -> None:
    rows = pick_rows(results, "starvation", "component", "test")
    chart = plot_specialists(results)
    assert [curve.label for curve in chart.parts] == NAMES
    curve = chart.parts[2]
    own = rows[rows.component == NAMES[2]]
    np.testing.assert_array_equal(curve.x, [3, 4, 5])
    np.testing.assert_array_equal(curve.value, own.value)
    assert isinstance(curve, Curve)
    np.testing.assert_array_equal([curve.low, curve.high], [own.low, own.high])
    assert chart.title == (
        f"D / 5 instead of D tokens of its own cost a specialist {own.value.iloc[-1]:.4f} nats per "
        "token"  # the same for every component
    )
    best = results.assign(note="")  # as with specialist_form=best
    assert "steps" not in plot_specialists(best).note
    one = (results.component == NAMES[1]) & (results.k == 5) & (results.quantity == "starvation")
    other = results.assign(value=results.value.mask(one, 0.0123))
    assert "cost a specialist 0.0050 to 0.0123 nats" in plot_specialists(other).title


def test_what_else_less_text_means_is_said(results: pd.DataFrame) -> None:
    confounded = results.assign(note="less text goes with fewer steps")
    assert "Note that less text goes with fewer steps." in plot_specialists(confounded).note
    none = results[results.quantity != "starvation"]
    assert plot_specialists(none).title.startswith("No specialists")


def test_distinguishability(results: pd.DataFrame) -> None:
    matrix = distinguishability_matrix(results, "value", "test")
    shown = plot_distinguishability(results)
    assert shown.matrix is not None
    np.testing.assert_array_equal(shown.matrix.values, matrix)
    np.testing.assert_array_equal(shown.matrix.strong, np.eye(5, dtype=bool))
    least = matrix.mask(np.eye(5, dtype=bool)).min().min()
    assert shown.title.endswith(f"{least:.3f} nats")


def test_bars_of_the_decomposition_add_up(results: pd.DataFrame) -> None:
    chart = plot_decomposition(results)
    bars = [part for part in chart.parts if isinstance(part, Bars)]
    assert [(b.label, b.colour) for b in bars] == [
        (style.label, style.colour) for style in term_styles(known_sources=True).values()
    ]
    cost = pick_rows(results, "cost", "chain", "test")
    np.testing.assert_allclose(sum(bar.value for bar in bars), cost.value)
    assert (bars[0].base == 0).all()
    np.testing.assert_allclose(bars[2].base, bars[0].value + bars[1].value)
    total = cost.value.iloc[-1]
    assert chart.title.startswith(f"K = 5 costs {total:+.4f} nats per token; clearly the largest")


def test_bars_that_save_go_below_zero() -> None:
    one, two, three = stack(np.arange(1.0), [(n, np.array([v]), "") for n, v in
                                             (("a", 1.0), ("b", -2.0), ("c", 3.0))])  # fmt: skip
    assert [bar.base[0] for bar in (one, two, three)] == [0, 0, 1]


def test_the_others_text_helps_or_harms(results: pd.DataFrame) -> None:
    chart = plot_others_worth(results)
    assert [part.label for part in chart.parts] == NAMES
    rows = pick_rows(results, "others_worth", "component", "test")
    last = rows[rows.k == 5]
    assert chart.title == (
        f"At K = 5 the others' text helps {(last.low > 0).sum()} of 5 components and harms "
        f"{(last.high < 0).sum()}"
    )


def test_identification_is_bounded_and_naming_found(results: pd.DataFrame) -> None:
    chart = plot_identification(results)
    assert chart.title.endswith("it can cost at most 1.61")
    np.testing.assert_allclose([level.value for level in chart.levels], np.log([2, 3, 4, 5]))
    assert [part.label for part in chart.parts] == [f"K = {k}" for k in (2, 3, 4, 5)]
    naming = plot_naming(results)
    assert naming.title.startswith("Of 5 components the right one is known in 9")
    assert naming.span[0] < 0 < 0.9 < naming.span[1]


def test_own_text_has_bounds_as_triangles(results: pd.DataFrame) -> None:
    chart = plot_own_text(results)
    found = find_transfer(results).of_largest
    assert [part.value[0] for part in chart.parts] == [one.share.estimate.value for one in found]
    markers = {">": "^", "<": "v"}
    for part, one in zip(chart.parts, found, strict=True):
        assert isinstance(part, Curve)
        assert part.marker == markers.get(one.share.note, part.marker)
        assert one.share.note == "" or np.isnan(part.low).all()
    assert chart.title.endswith("predicted no better than by its own 0.20 of D alone")
    assert [level.value for level in chart.levels] == [0.2]


def test_figures_of_k_1_alone_say_so(results: pd.DataFrame) -> None:
    about_larger_k = {
        "cost", "starvation", "identification", "interference", "identification_bound",
        "others_worth", "cumulative_identification", "naming_accuracy", "distinguishability",
    }  # fmt: skip
    alone = results[(results.k <= 1) & ~results.quantity.isin(about_larger_k)]
    plots = plot_decomposition, plot_others_worth, plot_identification, plot_naming
    for plot in (*plots, plot_distinguishability):
        chart = plot(alone)
        assert chart.title == "K = 1 alone was run"
        draw_chart(chart)
