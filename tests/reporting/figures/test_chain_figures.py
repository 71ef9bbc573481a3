"""Figures show the numbers they are given, and say what they show."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from conftest import StoreMaker
from ergokedro.design.accounting import token_accounting
from ergokedro.design.mixture import Design, design_mixtures
from ergokedro.parameters import MixtureParameters
from ergokedro.reporting.figures.chart import Bars, Chart, Curve
from ergokedro.reporting.figures.component_heatmap import plot_component_heatmap
from ergokedro.reporting.figures.effect_of_k import plot_effect_of_k
from ergokedro.reporting.figures.in_context_xe import plot_in_context_xe
from ergokedro.reporting.figures.in_document_xe import plot_in_document_xe
from ergokedro.reporting.figures.interactive import chart_to_plotly
from ergokedro.reporting.figures.learning_curves import (
    plot_learning_curves,
    plot_train_gap,
    train_gap,
)
from ergokedro.reporting.figures.style import category_colour, colour_of
from ergokedro.reporting.figures.token_accounting import (
    plot_document_lengths,
    plot_token_accounting,
)
from ergokedro.reporting.figures.xe_by_k import plot_xe_by_k
from ergokedro.reporting.results import pick_rows
from synthetic_results import NAMES, make_design, make_history, make_results


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_results()


def test_every_figure_says_what_it_finds_and_its_unit(results: pd.DataFrame) -> None:
    histories = {k: make_history(k) for k in range(1, 6)}
    for chart in (
        plot_effect_of_k(results),
        plot_xe_by_k(results),
        plot_in_context_xe(results),
        plot_in_document_xe(results),
        plot_component_heatmap(results),
        plot_learning_curves(make_design(), histories),
        plot_train_gap(make_design(), histories),
    ):
        assert re.search(r"\d", chart.title), chart.title
        assert "nats per token" in chart.note
        assert chart.x.label
        assert chart.describe().startswith(chart.title)


def test_the_headline_is_one_panel_of_differences(results: pd.DataFrame) -> None:
    rows = pick_rows(results, "difference_to_k1", "smallest", "test")
    chart = plot_effect_of_k(results)
    assert [part.x.item() for part in chart.parts] == [1, 2, 3, 4, 5]
    ends = np.array(
        [[p.value[0], p.low[0], p.high[0]] for p in chart.parts if isinstance(p, Curve)]
    )
    np.testing.assert_array_equal(ends[1:], rows[["value", "low", "high"]])
    assert ends[0][0] == 0
    assert chart.title == f"5 components raise cross entropy by {ends[-1][0]:.4f} nats per token"
    assert "source-1, the smallest component" in chart.note
    assert chart.span[0] < 0


def test_the_headline_is_balanced_where_sets_were_run(results: pd.DataFrame) -> None:
    of_sets = results[results.series == "smallest"].assign(series="balanced", note="lower")
    of_sets.loc[:, ["value", "low", "high"]] *= -1
    chart = plot_effect_of_k(pd.concat([results, of_sets]))
    assert "mean over balanced sets of K components" in chart.note
    assert chart.title.startswith("5 components lower cross entropy by 0.0")


def test_an_effect_that_is_not_determined_is_not_called_one(results: pd.DataFrame) -> None:
    chart = plot_effect_of_k(results.assign(note="not determined"))
    assert chart.title.startswith("Whether 5 components change cross entropy is not determined: +")


def test_of_one_k_the_headline_has_no_effect() -> None:
    chart = plot_effect_of_k(make_results(ks=(3,)))
    assert chart.title.startswith("K = 3: cross entropy is 2.")


def test_a_negative_gain_in_context_is_called_a_rise() -> None:
    results = make_results()
    gain = results.quantity == "in_context_gain"
    results.loc[gain & (results.k == 1), "value"] = 0.25
    results.loc[gain & (results.k == 5), "value"] = -0.0625
    title = plot_in_context_xe(results).title
    assert "falls by 0.250 nats at K = 1 and rises by 0.062 nats at K = 5" in title


def test_a_k_has_one_colour_whichever_others_are_shown() -> None:
    some = plot_in_context_xe(make_results(ks=(2, 4)))
    every = plot_in_context_xe(make_results())
    learning = plot_learning_curves(make_design(), {k: make_history(k) for k in (2, 4)})

    def colours(chart: Chart) -> dict[str, str]:
        return {part.label: part.colour for part in chart.parts if part.label}

    for name in ("K = 2", "K = 4"):
        assert colours(some)[name] == colours(every)[name] == colours(learning)[name]
    assert len({colour_of(k, 11) for k in range(1, 12)}) == 11


def test_learning_curves_leave_out_the_start() -> None:
    history = make_history(2)
    (curve,) = plot_learning_curves(make_design(), {2: history}).parts
    of_first = history[(history.metric == "validation_xe") & (history.component == NAMES[0])]
    whole = of_first.set_index("tokens").value
    expected = whole[whole.index >= whole.index[-1] / 8]
    np.testing.assert_array_equal(curve.value, expected)
    np.testing.assert_array_equal(curve.x, expected.index / 1e6)


def test_the_gap_is_validation_less_training_loss() -> None:
    history = make_history(1)
    chart = plot_train_gap(make_design(), {1: history})
    # Both end at 2.6 nats, held-out text 0.005 higher; the noise of the loss is averaged.
    assert chart.parts[0].value[-1] == pytest.approx(0.005, abs=0.02)
    gap = train_gap(history, NAMES[:1])
    assert gap.iloc[-1] == chart.parts[0].value[-1]


def test_heatmap_hatches_what_was_not_trained_on(results: pd.DataFrame) -> None:
    chart = plot_component_heatmap(results)
    assert chart.matrix is not None
    later = np.arange(5)[None, :] > np.arange(5)[:, None]
    np.testing.assert_array_equal(chart.matrix.hatched, later)
    np.testing.assert_array_equal(chart.matrix.strong, ~later)
    assert list(chart.matrix.values.columns) == NAMES
    xe = results[(results.quantity == "xe") & (results.split == "test") & (results.k == 3)]
    value = xe[xe.component == NAMES[4]].value.item()
    assert chart.matrix.values.loc["K = 3", NAMES[4]] == value


def test_without_an_optimum_no_figure_speaks_of_it() -> None:
    results = make_results(known=False, ks=(1, 2))
    for plot in (plot_xe_by_k, plot_in_context_xe, plot_component_heatmap):
        assert "possible" not in plot(results).describe()
        assert "possible" not in str(chart_to_plotly(plot(results)).to_dict())


@pytest.fixture
def corpus(make_store: StoreMaker) -> tuple[pd.DataFrame, Design]:
    """Four categories, one of them named like documents without one; two are chosen."""
    sizes = {"a": [900, 800], "b": [5000], "c": [2500, 400], "(unknown)": [700]}
    heldout = {(split, label): [200] for split in ("validation", "test") for label in sizes}
    store = make_store({**{("train", label): n for label, n in sizes.items()}, **heldout})
    store.meta["cleaning"] += [
        {"split": "train", "label": None, "status": "unknown_label", "documents": 2, "tokens": 9}
    ]
    accounting = token_accounting(store)
    return accounting, design_mixtures(store, accounting, MixtureParameters(top_n=2))


def test_the_corpus_is_shown_with_what_is_chosen(corpus: tuple[pd.DataFrame, Design]) -> None:
    accounting, design = corpus
    accounting.loc[accounting.label == "a", "tokens_before"] = 2000
    chart = plot_token_accounting(accounting, design)
    assert chart.x.names == ["c", "b", "a", "(unknown)"]
    first, second, others, removed = (p for p in chart.parts if isinstance(p, Bars))
    np.testing.assert_allclose([*first.value, *second.value, *others.value], [2.9, 5, 1.7, 0.7])
    np.testing.assert_allclose(removed.value, [0, 0, 0.3, 0], atol=1e-12)
    np.testing.assert_allclose(removed.base, [2.9, 5, 1.7, 0.7])
    assert [first.colour, second.colour] == [category_colour(0), category_colour(1)]
    assert others.label == "not chosen"
    (level,) = chart.levels
    assert level.value == design.total_tokens / 1000
    assert f"D = {design.total_tokens:,} tokens; c, the smallest of 2 components" in chart.title
    assert chart.title.endswith("has 2,900")
    assert "thousands" in chart.note
    assert "2 largest by training tokens; by documents it would be a instead of b" in chart.note


def test_the_length_of_documents_is_shown_beside_the_window(
    corpus: tuple[pd.DataFrame, Design],
) -> None:
    chart = plot_document_lengths(*corpus)
    assert chart.x.names == ["c", "b", "a", "(unknown)"]
    parts = [part for part in chart.parts if isinstance(part, Curve)]
    np.testing.assert_allclose([part.end for part in parts], [1450, 5000, 850, 700])
    np.testing.assert_allclose([parts[0].low, parts[0].high], [[505], [2395]])  # of 400 and 2500
    window = corpus[1].window_length
    assert [level.value for level in chart.levels] == [window]
    assert chart.title == (
        f"The median document of a component has 1,450 to 5,000 tokens, a window {window}"
    )


def test_few_of_many_categories_are_shown(corpus: tuple[pd.DataFrame, Design]) -> None:
    accounting, design = corpus
    few = accounting[accounting.label == "(unknown)"]
    more = [few.assign(label=f"more-{i}", tokens=i) for i in range(20)]
    for plot in (plot_token_accounting, plot_document_lengths):
        chart = plot(pd.concat([accounting, *more]), design)
        assert chart.x.names == [
            "c",
            "b",
            "a",
            "(unknown)",
            *(f"more-{i}" for i in range(19, 13, -1)),
        ]
        assert chart.note.endswith("Smaller categories not shown: 14.")
