"""Experiments side by side: what is read, and what their paired differences are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from compared_experiments import files_of, finished
from ergokedro.analysis.comparison import compare, read_finished
from ergokedro.errors import ErgokedroError
from synthetic_results import NAMES


def rows_of(table: pd.DataFrame, quantity: str, series: str) -> pd.DataFrame:
    chosen = table[(table.quantity == quantity) & (table.series == series)]
    return chosen[(chosen.reference != "") & (chosen.split == "test")].set_index("k")


def test_what_differs_on_the_same_windows_is_paired() -> None:
    """The other experiment is worse by 0.1 nats at every K, and by 0.02 more at K = 3."""
    first = finished("first", sets=True)
    other = finished("other", shift=0.1, at_k={3: 0.02}, sets=True)
    table = compare([first, other])
    for series in ("smallest", "all", "balanced"):
        xe = rows_of(table, "xe_difference", series)
        assert xe.value.to_dict() == pytest.approx({1: 0.1, 2: 0.1, 3: 0.12, 4: 0.1, 5: 0.1})
        # The same noise is in both: what remains is the same in every window.
        assert (xe.high - xe.low).max() < 1e-6
    for series in ("smallest", "balanced"):
        effect = rows_of(table, "effect_difference", series)
        assert effect.value.to_dict() == pytest.approx({2: 0, 3: 0.02, 4: 0, 5: 0}, abs=1e-6)
    own = table[(table.reference == "") & (table.quantity == "difference_to_k1")]
    assert set(own.experiment) == {"first", "other"}
    expected = first.results[first.results.quantity == "difference_to_k1"]
    expected = expected[expected.series.isin(["smallest", "balanced"])]
    assert own[own.experiment == "first"].value.tolist() == expected.value.tolist()


def test_other_windows_or_text_are_not_paired() -> None:
    first = finished("first")
    for change in ({"store": "another"}, {"tokenizer": "another"}, {"start": 7}):
        table = compare([first, finished("other", **change)])
        assert (table.reference == "").all()
        assert set(table.experiment) == {"first", "other"}


def test_another_order_of_the_components_is_compared_on_all_of_them() -> None:
    first, other = finished("first"), finished("other", shift=0.1, components=NAMES[::-1])
    table = compare([first, other])
    assert rows_of(table, "xe_difference", "smallest").empty
    assert rows_of(table, "effect_difference", "smallest").empty
    assert rows_of(table, "xe_difference", "all").value.to_numpy() == pytest.approx(0.1)


def test_experiments_are_read_by_name() -> None:
    files = files_of(finished("first", sets=True), finished("other"))
    read = read_finished("other + first", **files)
    assert [experiment.name for experiment in read] == ["other", "first"]
    assert [run.name for run in read[0].experiment.chain] == ["k1", "k2", "k3", "k4", "k5"]
    # The chain is among all sets of five components.
    assert [len(experiment.experiment.runs) for experiment in read] == [5, 31]
    nll = read[0].experiment.nll[read[0].experiment.chain[2]].nll["test"]
    np.testing.assert_array_equal(nll, files["nll"]["other/k3"]().nll["test"])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "fewer than two experiments.*Finished: first, other"),
        ("first+first", "fewer than two experiments"),
        ("first+nowhere", "nowhere does not exist. Finished: first, other"),
        ("first+begun", "begun is not finished. Finished: first, other"),
        ("first+other", "other is not finished: the NLL of k3 is missing"),
    ],
)
def test_an_unknown_or_unfinished_experiment_is_named(names: str, message: str) -> None:
    files: dict[str, Any] = files_of(finished("first"), finished("other"))
    files["designs"]["begun"] = files["designs"]["first"]
    if names == "first+other":
        del files["nll"]["other/k3"]
    with pytest.raises(ErgokedroError, match=message):
        read_finished(names, **files)
