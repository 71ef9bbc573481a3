"""A chart is drawn as a picture and as an interactive figure with the same numbers."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from ergokedro.reporting.figures.chart import Axis, Bars, Chart, Curve, Level, Matrix, spread
from ergokedro.reporting.figures.interactive import chart_to_plotly
from ergokedro.reporting.figures.static import COLUMN, SLIDE, draw_chart
from ergokedro.reporting.figures.style import CATEGORY_COLOURS, as_text, colour_of, on_dark

X = np.array([1.0, 2.0, 3.0])
CURVE = Curve("a", X, X / 10, X / 10 - 0.05, X / 10 + 0.02, "#0072b2", marker="o")
BARS = Bars("b", X, -X / 10, np.zeros(3), "#a6611a")
CHART = Chart("It grows by 0.2", "Something, nats", Axis("K", "whole"), [CURVE, BARS], [Level(0)])


def make_matrix() -> Chart:
    values = pd.DataFrame([[1.0, float("nan")], [0.5, 2.0]], index=["r", "s"], columns=["c", "d"])
    matrix = Matrix(values, np.eye(2, dtype=bool), hatched=~np.eye(2, dtype=bool), spec=".1f")
    return Chart("Most is 2", "Worth", Axis("source", "category", ["c", "d"]), matrix=matrix)


def drawn(figure: Any) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "test"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def test_both_forms_show_the_numbers() -> None:
    axis: Any
    (axis,) = draw_chart(CHART).axes
    np.testing.assert_array_equal(axis.lines[0].get_xydata(), np.stack([X, X / 10], axis=1))
    (intervals, *_) = axis.collections
    ends = np.array(intervals.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, np.stack([CURVE.low, CURVE.high], axis=1))
    np.testing.assert_allclose([bar.get_height() for bar in axis.containers[0]], BARS.value)
    figure = chart_to_plotly(CHART)
    points, bars = figure.data
    np.testing.assert_allclose(points.y, CURVE.value)
    np.testing.assert_allclose(np.add(points.y, points.error_y.array), CURVE.high)
    np.testing.assert_allclose(np.subtract(points.y, points.error_y.arrayminus), CURVE.low)
    np.testing.assert_allclose(bars.y, BARS.value)
    assert points.line.color == CURVE.colour
    np.testing.assert_allclose(figure.layout.yaxis.range, axis.get_ylim())


def test_both_forms_show_a_matrix() -> None:
    axis: Any
    (axis,) = draw_chart(make_matrix()).axes
    assert [text.get_text() for text in axis.texts] == ["1.0", "?", "0.5", "2.0"]
    assert [text.get_weight() for text in axis.texts] == ["bold", "normal", "normal", "bold"]
    assert len(axis.patches) == 2
    figure = chart_to_plotly(make_matrix())
    (heatmap,) = figure.data
    assert [list(row) for row in heatmap.text] == [["<b>1.0</b>", ""], ["0.5", "<b>2.0</b>"]]
    assert [(note.x, note.y, note.text) for note in figure.layout.annotations] == [(1, 0, "?")]
    lines = figure.layout.shapes
    middles = {(round((s.x0 + s.x1) / 2), round((s.y0 + s.y1) / 2)) for s in lines}
    assert middles == {(0, 1), (1, 0)}


def test_the_cells_of_a_matrix_keep_their_colours_on_a_dark_ground() -> None:
    figure = chart_to_plotly(make_matrix())
    scale = {colour for _, colour in figure.data[0].colorscale}
    assert not scale & set(figure.layout.meta["dark"])
    assert figure.layout.annotations[0].font.color in figure.layout.meta["dark"]


def test_labels_of_several_lines_are_as_far_apart_as_they_are_high() -> None:
    names = ["one", "a label of some more words than fit", "three"]
    parts = [Curve(n, X, X / 10, X * np.nan, X * np.nan, "#0072b2") for n in names]
    figure = chart_to_plotly(Chart("Title", "note", Axis("K", "whole"), parts))
    low, high = figure.layout.yaxis.range
    placed = sorted(note.y for note in figure.layout.annotations)
    lines = max(note.text.count("<br>") + 1 for note in figure.layout.annotations)
    assert lines == 3
    assert np.diff(placed).min() >= 0.06 * lines * (high - low) - 1e-9


def test_the_data_and_the_description() -> None:
    table = CHART.data()
    assert table.label.to_list() == ["a"] * 3 + ["b"] * 3 + ["level"]
    np.testing.assert_allclose(table.low[:3], CURVE.low)
    assert CHART.describe() == (
        "It grows by 0.2. Something, nats. a: 0.1 at 1, 0.2 at 2, 0.3 at 3; "
        "b: -0.1 at 1, -0.2 at 2, -0.3 at 3."
    )
    assert make_matrix().describe().endswith("Worth. least: 0.5 in s, c; most: 2.0 in s, d.")
    assert len(make_matrix().data()) == 4


@pytest.mark.parametrize("size", [SLIDE, COLUMN])
def test_no_text_is_cut_or_lies_on_another(size: Any) -> None:
    """Titles, notes, ticks and labels, where all are long."""
    names = [f"a long name of component {n}" for n in range(4)]
    parts = [
        Curve(name, X - 1, X / 10 + n / 99, X * np.nan, X * np.nan, CATEGORY_COLOURS[n], "o")
        for n, name in enumerate(names)
    ]
    chart = Chart(12 * "finding ", 24 * "note ", Axis("x", "category", names[:3]), parts)
    figure = draw_chart(chart, size)
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [text.get_window_extent() for text in texts]
    width, height = figure.bbox.size
    for text, box in zip(texts, boxes, strict=True):
        assert -2 <= box.x0 < box.x1 <= width + 2, text
        assert -2 <= box.y0 < box.y1 <= height + 2, text
    labels = [box for text, box in zip(texts, boxes, strict=True) if text in figure.axes[0].texts]
    assert len(labels) == len(parts)
    assert all(lower.y1 <= upper.y0 for lower, upper in pairwise(labels))


def test_equal_charts_draw_equal_bytes() -> None:
    assert drawn(draw_chart(CHART)) == drawn(draw_chart(CHART))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_labels_are_spread(wanted: list[float]) -> None:
    placed = spread(wanted, 0.1, (0, 1))
    in_order = sorted(placed)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(in_order))
    assert all(-1e-9 <= p <= 1 + 1e-9 for p in placed)
    assert [placed[i] for i in np.argsort(wanted, kind="stable")] == in_order
    if len(wanted) == 1:
        assert placed == wanted


def contrast(one: str, other: str) -> float:
    """Ratio of contrast as of the WCAG."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [*CATEGORY_COLOURS, *(colour_of(k, 5) for k in range(1, 6))])
def test_colours_can_be_read(colour: str) -> None:
    assert contrast(as_text(colour), "#ffffff") >= 4.5
    assert contrast(on_dark(colour), "#14171c") >= 4.5
    assert contrast(on_dark(as_text(colour)), "#14171c") >= 4.5


def test_every_colour_of_an_interactive_figure_has_one_on_a_dark_ground() -> None:
    figure = chart_to_plotly(CHART)
    swapped = figure.layout.meta["dark"]
    used = set(
        re.findall("#[0-9a-fA-F]{6}", str([trace.to_plotly_json() for trace in figure.data]))
    )
    assert used <= set(swapped)
    assert swapped[CURVE.colour] == on_dark(CURVE.colour)
