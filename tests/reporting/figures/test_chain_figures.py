"""Figures show the numbers they are given, and say what they show."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

from conftest import StoreMaker
from ergokedro.design.accounting import token_accounting
from ergokedro.design.mixture import design_mixtures
from ergokedro.parameters import MixtureParameters
from ergokedro.reporting.figures.component_heatmap import plot_component_heatmap
from ergokedro.reporting.figures.in_context_xe import plot_in_context_xe
from ergokedro.reporting.figures.in_document_xe import plot_in_document_xe
from ergokedro.reporting.figures.learning_curves import plot_learning_curves
from ergokedro.reporting.figures.style import colour_of
from ergokedro.reporting.figures.token_accounting import plot_token_accounting
from ergokedro.reporting.figures.xe_by_k import plot_xe_by_k
from synthetic_results import NAMES, make_design, make_history, make_results


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
        plot_xe_by_k(results),
        plot_in_context_xe(results),
        plot_in_document_xe(results),
        plot_learning_curves(make_design(), histories),
    ):
        assert "pyplot" not in str(type(figure.canvas))
        for axis in figure.axes:
            assert axis.get_xlabel()
            assert axis.get_title()
        assert "nats" in figure.axes[0].get_ylabel()
        assert drawn(figure)


def test_series_have_panels_of_their_own_and_never_share_a_line(results: pd.DataFrame) -> None:
    figure: Any = plot_xe_by_k(results)
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
    some = plot_in_context_xe(make_results(ks=(2, 4)))
    every = plot_in_context_xe(make_results())
    histories = {k: make_history(k) for k in (2, 4)}
    learning = plot_learning_curves(make_design(), histories)

    def colours(figure: Any) -> dict[str, Any]:
        lines = figure.axes[0].get_legend_handles_labels()
        return {label: line.get_color() for line, label in zip(*lines, strict=True)}

    for name in ("K = 2", "K = 4"):
        assert colours(some)[name] == colours(every)[name] == colours(learning)[name]
    assert len({colour_of(k, 11) for k in range(1, 12)}) == 11


def test_validation_curves_are_means_over_components_trained_on() -> None:
    history = make_history(2)
    figure: Any = plot_learning_curves(make_design(), {2: history})
    (line,) = figure.axes[1].lines
    here = history[(history.metric == "validation_xe") & history.component.isin(NAMES[:2])]
    np.testing.assert_allclose(line.get_ydata(orig=False), here.groupby("tokens").value.mean())
    low, high = figure.axes[1].get_ylim()
    assert low < 2.6 < high < np.log(512)


def test_the_level_that_every_k_reaches_is_the_worst_end() -> None:
    histories = {k: make_history(k) for k in (1, 4)}
    axis: Any = plot_learning_curves(make_design(), histories).axes[2]
    one, four, level = (line.get_ydata(orig=False) for line in axis.lines)
    assert level[0] == max(one[-1], four[-1]) == four[-1]


def test_the_gap_is_validation_less_training_loss() -> None:
    history = make_history(1)
    figure: Any = plot_learning_curves(make_design(), {1: history})
    gap = figure.axes[3].lines[0]
    # Both end at 2.6 nats, held-out text 0.005 higher; the noise of the loss is averaged.
    assert gap.get_ydata(orig=False)[-1] == pytest.approx(0.005, abs=0.02)
    low, high = figure.axes[3].get_ylim()
    assert -1 < low < 0.005 < high < 1


def test_heatmap_hatches_what_was_not_trained_on(results: pd.DataFrame) -> None:
    axis: Any = plot_component_heatmap(results).axes[0]
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
    for plot in (plot_xe_by_k, plot_in_context_xe, plot_component_heatmap):
        assert b"optimum" not in drawn(plot(results))


def test_equal_results_draw_equal_bytes(results: pd.DataFrame) -> None:
    assert drawn(plot_xe_by_k(results)) == drawn(plot_xe_by_k(results))


def test_the_corpus_is_shown_by_tokens_and_by_documents(make_store: StoreMaker) -> None:
    sizes = {"a": [900, 800], "b": [5000], "c": [2500, 400], "d": [700]}
    heldout = {(split, label): [200] for split in ("validation", "test") for label in sizes}
    store = make_store({**{("train", label): n for label, n in sizes.items()}, **heldout})
    accounting = token_accounting(store)
    accounting.loc[accounting.label == "a", "documents_before"] = 4
    design = design_mixtures(store, accounting, MixtureParameters(top_n=2))
    figure: Any = plot_token_accounting(accounting, design)
    tokens, documents, _ = figure.axes
    assert [label.get_text() for label in tokens.get_yticklabels()] == ["d", "a", "c", "b"]
    widths = [[bar.get_width() for bar in bars] for axis in (tokens, documents)
              for bars in axis.containers]  # fmt: skip
    np.testing.assert_allclose(widths[1], [0.7, 1.7, 2.9, 5.0])
    assert tokens.get_xlabel() == "training tokens, thousands"
    assert tokens.texts[0].get_text() == "4.  0.7"
    assert widths[2:] == [[1, 4, 2, 1], [1, 2, 2, 1]]
    assert [text.get_text().split()[0] for text in documents.texts] == ["4.", "1.", "2.", "3."]
    colours = [bar.get_facecolor() for bar in documents.containers[1]]
    assert colours[2] == colours[3] != colours[1] != colours[0]
    title = figure.get_suptitle()
    assert "2 largest by training tokens; by documents it would be a instead of b" in title
    assert "Orange" in title
