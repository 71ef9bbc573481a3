"""Figures show the numbers they are given, and say what they show."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

from ergokedro import figures
from synthetic_results import NAMES, make_history, make_results


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_results()


def drawn(figure: Any) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "test"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def test_every_panel_names_its_quantities_and_their_units(results: pd.DataFrame) -> None:
    histories = {k: make_history(k) for k in range(1, 6)}
    for figure in (
        figures.plot_xe_by_k(results),
        figures.plot_in_context_xe(results),
        figures.plot_learning_curves(histories, NAMES),
    ):
        assert "pyplot" not in str(type(figure.canvas))
        for axis in figure.axes:
            assert axis.get_xlabel()
            assert axis.get_title()
        assert "nats" in figure.axes[0].get_ylabel()
        assert drawn(figure)


def test_series_have_panels_of_their_own_and_never_share_a_line(results: pd.DataFrame) -> None:
    figure: Any = figures.plot_xe_by_k(results)
    for axis, series in zip(figure.axes[:3], ("chain", "smallest", "all"), strict=True):
        (bars,) = axis.containers
        xe = results[
            (results.quantity == "xe") & (results.series == series) & (results.split == "test")
        ]
        np.testing.assert_allclose(bars.lines[0].get_xdata(orig=False), xe.k)
        np.testing.assert_allclose(bars.lines[0].get_ydata(orig=False), xe.value)
        segments = np.array(bars.lines[2][0].get_segments())
        np.testing.assert_allclose(segments[:, :, 1], xe[["low", "high"]].to_numpy())


def test_a_k_has_one_colour_whichever_others_are_shown() -> None:
    some = figures.plot_in_context_xe(make_results(ks=(2, 4)))
    every = figures.plot_in_context_xe(make_results())
    histories = {k: make_history(k) for k in (2, 4)}
    learning = figures.plot_learning_curves(histories, NAMES)

    def colours(figure: Any) -> dict[str, Any]:
        lines = figure.axes[0].get_legend_handles_labels()
        return {label: line.get_color() for line, label in zip(*lines, strict=True)}

    for name in ("K = 2", "K = 4"):
        assert colours(some)[name] == colours(every)[name] == colours(learning)[name]
    assert len({figures.colour_of(k, 11) for k in range(1, 12)}) == 11


def test_validation_curves_are_means_over_components_trained_on() -> None:
    history = make_history(2)
    figure: Any = figures.plot_learning_curves({2: history}, NAMES)
    (line,) = figure.axes[1].lines
    here = history[(history.metric == "validation_xe") & history.component.isin(NAMES[:2])]
    np.testing.assert_allclose(line.get_ydata(orig=False), here.groupby("tokens").value.mean())
    low, high = figure.axes[1].get_ylim()
    assert low < 2.6 < high < np.log(512)


def test_heatmap_hatches_what_was_not_trained_on(results: pd.DataFrame) -> None:
    axis: Any = figures.plot_component_heatmap(results).axes[0]
    hatched = {
        (round(patch.get_y() + 0.5) + 1, round(patch.get_x() + 0.5) + 1) for patch in axis.patches
    }
    assert hatched == {(k, i) for k in range(1, 6) for i in range(1, 6) if i > k}
    texts = [text for text in axis.texts if re.fullmatch(r"\d\.\d{3}", text.get_text())]
    assert len(texts) == 25
    assert sum(text.get_weight() == "bold" for text in texts) == 15
    assert [label.get_text() for label in axis.get_xticklabels()] == NAMES


def test_without_an_optimum_no_figure_speaks_of_it() -> None:
    results = make_results(known=False, ks=(1, 2))
    for plot in (figures.plot_xe_by_k, figures.plot_in_context_xe, figures.plot_component_heatmap):
        assert b"optimum" not in drawn(plot(results))
    assert "optimum" not in str(figures.plotly_xe_by_k(results).to_dict())


def test_equal_results_draw_equal_bytes(results: pd.DataFrame) -> None:
    assert drawn(figures.plot_xe_by_k(results)) == drawn(figures.plot_xe_by_k(results))


def test_plotly_shows_the_same_numbers(results: pd.DataFrame) -> None:
    figure = figures.plotly_xe_by_k(results)
    trained = [trace for trace in figure.data if trace.name == "trained model"]
    for trace, series in zip(trained, ("chain", "smallest", "all"), strict=True):
        xe = results[
            (results.quantity == "xe") & (results.series == series) & (results.split == "test")
        ]
        np.testing.assert_allclose(trace.y, xe.value)
        np.testing.assert_allclose(np.add(trace.y, trace.error_y.array), xe.high)
    assert "nats" in figure.layout.yaxis.title.text
