"""What the report says of own text and others' text, and of what is not determined."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.series import ResultRow, results_table
from ergokedro.reporting.figures.exchange import plot_exchange
from ergokedro.reporting.rendering import fit_error, worth
from ergokedro.reporting.results import Estimate
from ergokedro.reporting.transfer import Worth, exchange_matrix, find_transfer

NAN = float("nan")


def row(quantity: str, component: str, value: float, **fields: Any) -> ResultRow:
    known: dict[str, Any] = {"run": "law", "k": 0, "split": "test", "series": "component"}
    return ResultRow(quantity=quantity, component=component, value=value, **{**known, **fields})


@pytest.fixture
def results() -> pd.DataFrame:
    of_a_set = {"run": "subsets.c1_c3", "k": 2}
    return results_table(
        [
            row("xe", "", 2.0, run="k2", k=2, series="chain"),
            *(row("xe", name, 2.0, run="k2", k=2) for name in "abc"),
            row("own_text_share", "a", 0.75, run="k2", k=2, low=0.6, high=float("inf")),
            row("own_text_share", "b", 0.25, run="k2", k=2, note="<"),
            row("own_text_share", "a", 0.5, **of_a_set),
            row("tau", "a", 0.4, source="b", low=0.3, high=0.5),
            row("tau", "b", NAN, source="a", note="no run was trained on both b and a"),
            row("exchange_direct", "b", 0.1, source="a", run="k2", k=2, tokens=50, low=0, high=0.2),
            row("exchange_direct", "b", 0.9, source="a", run="growing.k2", k=2, tokens=20),
            row("exchange_direct", "a", 0.7, source="c", tokens=50, note=">", **of_a_set),
            row("held_out_error", "", 0.02, series="held_out_set", run="constant", note="9 of 3"),
            row("held_out_relative_error", "", 0.01, series="held_out_set", run="constant"),
            row("held_out_error", "", 0.01, series="held_out_set", run="transfer", note="9 of 3"),
            row("held_out_relative_error", "", 0.005, series="held_out_set", run="transfer"),
        ]
    )


def test_what_is_found(results: pd.DataFrame) -> None:
    found = find_transfer(results)
    assert [(one.k, one.component, one.own) for one in found.of_largest] == [
        (2, "a", 0.5), (2, "b", 0.5),
    ]  # fmt: skip
    assert found.open_rates == 1
    assert [one.law for one in found.on_sets] == ["transfer", "constant"]
    assert found.on_sets[0].relative == 0.005
    assert found.laws == []
    pairs = {(pair.component, pair.source): pair for pair in found.exchange}
    assert pairs["b", "a"].direct == Worth(Estimate(0.1, 0, 0.2), "")  # of the larger budget
    assert pairs["a", "c"].law is None


def test_the_map_shows_what_is_determined(results: pd.DataFrame) -> None:
    expected = [[1, 0.4, NAN], [0.1, 1, NAN], [NAN, NAN, 1]]
    matrix = exchange_matrix(results, list("abc"), "test")
    np.testing.assert_array_equal(matrix, expected)
    chart = plot_exchange(results)
    assert chart.matrix is not None
    np.testing.assert_array_equal(chart.matrix.values, expected)
    assert chart.title == "Most useful: to a a token of b is worth 0.40 of its own"


def test_an_interval_from_useless_to_as_good_as_own_text_tells_nothing(
    results: pd.DataFrame,
) -> None:
    of_law = results.quantity == "tau"
    wide = results.assign(low=results.low.mask(of_law, 0.0), high=results.high.mask(of_law, 9.9))
    assert np.isnan(exchange_matrix(wide, list("abc"), "test").loc["a", "b"])
    assert not find_transfer(wide).worthless


def test_worthless_is_said_where_every_pair_is_known(results: pd.DataFrame) -> None:
    rates = results.quantity.isin(["tau", "exchange_direct"])
    useless = results.assign(value=results.value.mask(rates, 0.0))
    assert not find_transfer(useless).worthless  # of a and c there is a bound alone
    known = useless[(useless.component != "a") | (useless.source != "c")]
    assert find_transfer(known).worthless
    assert plot_exchange(known).title.startswith("A token of another component is worth nothing")
    assert plot_exchange(useless).title.startswith("Most useful: to a a token of b is worth 0.00")


def test_nothing_measured_is_an_empty_map(results: pd.DataFrame) -> None:
    only_xe = results[results.quantity == "xe"]
    found = find_transfer(only_xe)
    assert (found.equivalents, found.exchange, found.laws, found.errors) == ([], [], [], [])
    chart = plot_exchange(only_xe)
    assert chart.matrix is not None
    assert chart.matrix.values.isna().to_numpy().sum() == 6
    assert chart.title.startswith("These runs do not determine")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Worth(Estimate(0.75, 0.6, 0.9), ""), "0.75 [0.60, 0.90]"),
        (Worth(Estimate(0.75, 0.6, float("inf")), ""), "0.75 [0.60, no upper limit]"),
        (Worth(Estimate(0.75, NAN, NAN), ""), "0.75 [no interval]"),
        (Worth(Estimate(0.2, 0, 0.2), "<"), "less than 0.20"),
        (Worth(Estimate(1.0, 1, float("inf")), ">"), "more than 1.00"),
        (Worth(Estimate(NAN, 0, float("inf")), "?"), "not determined"),
        (Worth(Estimate(NAN, NAN, NAN), "no runs"), "not determined: no runs"),
        (None, "none"),
    ],
)
def test_words_for_bounds(number: Worth | None, text: str) -> None:
    assert worth(number, ".2f", missing="none") == text


def test_an_error_without_predictions_is_not_determined() -> None:
    assert fit_error(Estimate(NAN, NAN, NAN), ".2f") == "not determined"
    assert fit_error(Estimate(0.1, NAN, NAN), ".2f") == "0.10"
    assert fit_error(Estimate(0.1, 0.05, 0.2), ".2f") == "0.10 [0.05, 0.20]"
