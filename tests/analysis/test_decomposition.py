"""The decomposition: additive, bounded, and right where the answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.analysis.decomposition import (
    TERMS,
    decompose,
    decomposition,
)
from ergokedro.analysis.series import results_table
from ergokedro.design.nll import ExactNLL, NLLArrays
from ergokedro.design.runs import Run
from synthetic_results import (
    EXCESS,
    NAMES,
    STARVED,
    make_experiment,
    make_specialists,
    make_text,
)

KS = [1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def nll(windows: pd.DataFrame, exact: ExactNLL) -> dict[Run, NLLArrays]:
    return make_specialists(windows, exact)


@pytest.fixture(scope="module")
def table(nll: dict[Run, NLLArrays], windows: pd.DataFrame, exact: ExactNLL) -> pd.DataFrame:
    text = make_text(windows)
    return results_table(decomposition(make_experiment(nll, windows, exact, text)))


def pick(table: pd.DataFrame, **tags: object) -> pd.DataFrame:
    for name, value in tags.items():
        table = table[table[name] == value]
    return table


def test_terms_are_those_put_in(table: pd.DataFrame) -> None:
    for k in KS[1:]:
        here = pick(table, k=k, split="test", series="chain", position=0).set_index("quantity")
        value = here.value
        assert value.starvation == pytest.approx(STARVED[k], abs=1e-6)
        # Specialists that are the sources: their mixture is the exact one, shifted.
        assert value.identification == pytest.approx(value.exact_identification, abs=1e-6)
        assert 0 < value.identification < value.identification_bound + 1e-12
        assert 0.8 * np.log(k) / 99 < value.identification_bound < np.log(k) / 99
        assert value.cost == pytest.approx(value[list(TERMS)].sum(), abs=1e-12)
        assert value.interference == pytest.approx(EXCESS[k] - STARVED[k], abs=5e-3)
        interval = here.loc["cost"]
        assert interval.low <= interval.value <= interval.high


def test_components_average_to_the_chain(table: pd.DataFrame) -> None:
    for quantity in ("cost", *TERMS):
        here = pick(table, k=3, split="test", quantity=quantity)
        parts = here[here.series == "component"]
        assert parts.component.to_list() == NAMES[:3]
        assert parts.value.mean() == pytest.approx(pick(here, series="chain").value.item())


def test_curves(table: pd.DataFrame) -> None:
    here = pick(table, k=4, split="test", series="chain")
    cumulative = pick(here, quantity="cumulative_identification").set_index("position").value
    assert cumulative.index.to_list() == list(range(2, 101))
    total = pick(here, quantity="identification").value.item()
    assert cumulative[100] == pytest.approx(99 * total, rel=1e-9)
    assert cumulative.max() <= np.log(4)
    excess = pick(here, quantity="cumulative_excess").set_index("position").value
    interference = pick(here, quantity="interference", position=0).value.item()
    assert excess[100] == pytest.approx(cumulative[100] + 99 * interference)
    accuracy = pick(here, quantity="naming_accuracy")
    assert set(accuracy.unit) == {"share"}
    value = accuracy.set_index("position").value
    assert 0.3 < value[2] < 0.6  # by the first token alone
    assert value[100] > 0.9


def test_the_first_token_counts_as_it_does_for_the_model(
    nll: dict[Run, NLLArrays], windows: pd.DataFrame, exact: ExactNLL, table: pd.DataFrame
) -> None:
    """A mixture without it pays for what the model of K knows from the window's first token."""
    experiment = make_experiment(nll, windows, exact)
    without = results_table(decomposition(experiment))
    keys = {"split": "test", "series": "chain", "quantity": "identification"}
    for k in KS[1:]:
        with_it, alone = (pick(t, k=k, **keys).value.item() for t in (table, without))
        assert 0.0003 < alone - with_it < 0.002


def test_without_specialists_there_is_nothing(
    nll: dict[Run, NLLArrays], windows: pd.DataFrame, exact: ExactNLL
) -> None:
    chain_only = {run: arrays for run, arrays in nll.items() if run.in_chain}
    assert results_table(decomposition(make_experiment(chain_only, windows, exact))).empty
    some = {run: arrays for run, arrays in nll.items() if run.name != "specialists.c2_of3"}
    assert len(some) < len(nll)
    found = results_table(decomposition(make_experiment(some, windows, exact)))
    assert sorted(found.k.unique()) == [2, 4, 5]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 2**32))
def test_any_arrays_add_up_within_the_bound(k: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 12
    mixture = rng.exponential(size=(n, length))
    full, shared = rng.exponential(size=(2, k, n, length))
    truth = rng.integers(-1, k, size=n)
    first = rng.exponential(size=(k, n)) if seed % 2 else None
    terms = decompose(mixture, full, shared, truth, first)
    np.testing.assert_array_equal(terms.rows, np.flatnonzero(truth >= 0))
    total = terms.starvation + terms.identification + terms.interference
    np.testing.assert_allclose(total, terms.cost, atol=1e-9)
    assert (terms.identification.cumsum(axis=1) <= terms.bound[:, None] + 1e-9).all()
    if first is None:
        np.testing.assert_allclose(terms.bound, np.log(k))
    for index, row in enumerate(terms.rows):
        expected = mixture[row] - full[truth[row], row]
        np.testing.assert_allclose(terms.cost[index], expected)
