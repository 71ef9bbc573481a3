"""Tests of K against 1, slopes, and fits of L(t), where the answer is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
from scipy.stats import ttest_1samp

from ergokedro.analysis.contrasts import contrasts
from ergokedro.analysis.curve_fits import exponential, fit_curves, power_law
from ergokedro.analysis.series import results_table
from ergokedro.design.nll import NLLArrays
from ergokedro.design.runs import chain, repeat_run
from synthetic_results import NAMES, make_experiment, make_meta, make_windows

WINDOWS = make_windows()


def run_of(k: int, shift: float) -> NLLArrays:
    """A run whose NLL is that of K = 1 plus `shift` and document noise of its own."""
    common, own = np.random.default_rng(0), np.random.default_rng(k)
    nll = {}
    for split, here in WINDOWS.groupby("split"):
        noise = own.normal(scale=0.01, size=here.document.nunique()).repeat(4)
        base = common.normal(2.6, 0.3, size=(len(here), 99))
        nll[str(split)] = base + shift + noise[:, None]
    return NLLArrays(nll, make_meta(chain(k)))


def contrast_table(runs: list[NLLArrays], **changes: Any) -> pd.DataFrame:
    """The contrasts of the chain's runs."""
    experiment = make_experiment({chain(run.meta.k): run for run in runs}, WINDOWS)
    return results_table(contrasts(replace(experiment, **changes)))


def test_a_difference_is_found_and_none_is_not_invented() -> None:
    runs = [run_of(3, 0.1), run_of(1, 0.0), run_of(2, 0.0)]
    table = contrast_table(runs)
    test = table[table.split == "test"].set_index(["quantity", "k"]).value
    assert test["p_value", 3] < 1e-8
    assert test["p_value", 2] > 0.01
    # Holm: the smallest of two is doubled, the other stands.
    assert test["p_value_holm", 3] == pytest.approx(2 * test["p_value", 3])
    assert test["p_value_holm", 2] == pytest.approx(test["p_value", 2])


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_fit_that_diverged_far_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parameters are finite, but the squares of such numbers are not."""
    calls = itertools.count()

    def diverging(*args: Any, **settings: Any) -> Any:
        fit = least_squares(*args, **settings)
        if next(calls) == 1:  # of the first replicate
            fit.x[1] = 1e200
        return fit

    least_squares = scipy.optimize.least_squares
    monkeypatch.setattr(scipy.optimize, "least_squares", diverging)
    rng = np.random.default_rng(0)
    curve = power_law(np.arange(2, 42.0), 2.0, 1.0, 0.5)
    replicates = curve + 0.01 * rng.normal(size=(21, 40))
    fitted = {(form, name): value for form, name, value in fit_curves(replicates, 0.95)}
    assert fitted["power", "b"].high < 10


def test_p_values_are_those_of_a_t_test_on_documents() -> None:
    runs = [run_of(1, 0.0), run_of(2, 0.004)]
    table = contrast_table(runs)
    found = table[(table.split == "test") & (table.quantity == "p_value")].value.item()
    smallest = (WINDOWS[WINDOWS.split == "test"].component == NAMES[0]).to_numpy()
    difference = (runs[1].nll["test"] - runs[0].nll["test"])[smallest].mean(axis=1)
    expected = ttest_1samp(difference.reshape(-1, 4).mean(axis=1), 0).pvalue
    assert 0.001 < expected < 0.5
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_chance_of_draws_and_seeds_is_in_the_interval() -> None:
    """Three draws that differ by far more than documents do: the interval tells."""
    runs, shifts = {}, {0: 0.0, 1: 0.1, 2: 0.3}
    for (draw, shift), seed, k in product(shifts.items(), range(2), (1, 2)):
        run = repeat_run(chain(k), draw, 3, seed)
        nll = run_of(k, shift if k == 2 else 0.0).nll
        runs[run] = NLLArrays({s: a + 0.001 * seed for s, a in nll.items()}, make_meta(run))
    experiment = make_experiment(runs, WINDOWS, draws=3, seeds=2)
    table = results_table(contrasts(replace(experiment, common_text={1: 0.3, 2: 0.1})))
    rows = table[table.split == "test"].set_index("quantity")
    difference = rows.loc["difference_to_k1"]
    assert (difference.draws, difference.seeds) == (3, 2)
    assert difference.value == pytest.approx(np.mean(list(shifts.values())), abs=0.01)
    assert difference.note == "not determined"
    assert difference.low < 0 < 0.3 < difference.high
    # Almost all of the variance is that of draws: that of their mean over three.
    expected = np.var(list(shifts.values()), ddof=1) / 3
    assert rows.value.variance_draws == pytest.approx(expected, rel=0.05)
    assert abs(rows.value.variance_documents) < expected / 100
    assert rows.note.variance_draws == "two draws have 30% of their text in common"
    assert rows.note.variance_documents == rows.note.variance_seeds == ""
    assert rows.value.needed_draws > 3


def test_slope() -> None:
    runs = [run_of(k, 0.05 * np.log(k)) for k in (1, 2, 3, 4, 5)]
    table = contrast_table(runs)
    slope = table[(table.quantity == "slope_log_k") & (table.split == "test")].iloc[0]
    assert slope.low < 0.05 < slope.high
    assert slope.high - slope.low < 0.03


def test_without_k_1_there_is_no_contrast() -> None:
    assert contrast_table([run_of(2, 0.0)]).empty
    assert contrast_table([run_of(1, 0.0)]).empty


@pytest.mark.parametrize(
    ("form", "curve", "truth"),
    [
        ("power", power_law, {"a": 2.6, "b": 0.8, "c": 0.9}),
        ("exponential", exponential, {"a": 2.6, "b": 0.8, "tau": 12.0}),
    ],
)
def test_fits_find_the_curve_that_was_drawn(
    form: str, curve: Callable[..., np.ndarray], truth: dict[str, float]
) -> None:
    rng = np.random.default_rng(1)
    exact = curve(np.arange(2, 101, dtype=float), *truth.values())
    replicates = exact + rng.normal(scale=0.002, size=(301, 99))
    found = {p: interval for f, p, interval in fit_curves(replicates, 0.99) if f == form}
    for name, value in truth.items():
        assert found[name].value == pytest.approx(value, rel=0.05)
    assert found["rmse"].value == pytest.approx(0.002, rel=0.3)
    other = {p: i for f, p, i in fit_curves(replicates, 0.99) if f != form}
    assert other["rmse"].value > 2 * found["rmse"].value


def test_without_spread_nothing_is_fitted() -> None:
    assert not list(fit_curves(np.full((201, 99), 2.0), 0.95))
    assert not list(fit_curves(np.full((201, 99), np.nan), 0.95))
