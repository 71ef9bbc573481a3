"""Out-of-sample errors: at the level of the noise, of runs that no fit has seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.transfer.held_out import (
    folds,
    held_out_predictions,
    prediction_errors,
)
from ergokedro.analysis.transfer.laws import LAWS
from ergokedro.analysis.transfer.runs import MixtureRuns
from ergokedro.errors import ErgokedroError
from transfer_runs import COMPONENTS, TAU, all_sets, equal_shares, known_runs

NOISE = 0.01
# Mean absolute value of normal noise, per standard deviation.
MEAN_ABSOLUTE = np.sqrt(2 / np.pi)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return held_out_predictions(known_runs(noise=NOISE, m=4))


def errors_of(predictions: pd.DataFrame) -> pd.Series:
    return prediction_errors(predictions).set_index(["law", "held_out"]).error


def mixing_runs(noise: float) -> MixtureRuns:
    """Runs of one budget by the exponential mixing law."""
    tokens = equal_shares(all_sets(4), (6e5,), 4)
    shares = tokens / 6e5
    coefficients = 3 * (1 - TAU)
    xe = 2.0 + 0.3 * np.exp(shares @ coefficients.T)
    xe += noise * np.random.default_rng(0).normal(size=xe.shape)
    return MixtureRuns(COMPONENTS, tokens, np.where(tokens > 0, xe, np.nan))


def test_a_fold_leaves_out_all_runs_that_share_a_value() -> None:
    runs = known_runs(m=3, budgets=(1e5, 1.005e5, 4e5))  # the first two differ by rounding alone
    found = {(fold.held_out, fold.value): fold.rows for fold in folds(runs)}
    assert [sum(kind == k for kind, _ in found) for k in ("set", "k", "budget")] == [7, 3, 2]
    assert np.flatnonzero(found["set", "a + c"]).tolist() == [4, 11, 18]
    assert found["k", "2"].sum() == 9
    assert found["budget", "400000"].sum() == 7
    assert not [fold for fold in folds(runs.select(runs.totals > 2e5)) if fold.held_out == "budget"]


def test_predictions_do_not_know_the_runs_that_are_left_out() -> None:
    runs = known_runs(noise=NOISE, m=3)
    rows = np.array(runs.sets) == "a + b"
    spoilt = replace(runs, xe=np.where(rows[:, None], runs.xe * 1.3, runs.xe))
    laws = [law for law in LAWS if law != "constant"]
    before, after = (held_out_predictions(r, laws, ["set"]) for r in (runs, spoilt))
    chosen = before.value == "a + b"
    np.testing.assert_allclose(before.predicted[chosen], after.predicted[chosen], atol=1e-3)
    assert (before.predicted[~chosen] - after.predicted[~chosen]).abs().max() > 0.01


def test_every_observation_is_predicted_once_per_law_and_kind(predictions: pd.DataFrame) -> None:
    counts = predictions.groupby(["law", "held_out"]).size()
    assert counts.unique().tolist() == [32 * 3]  # 32 pairs of a set and a member, 3 budgets
    assert not predictions.duplicated(["law", "held_out", "run", "component"]).any()


def test_the_law_predicts_to_within_the_noise(predictions: pd.DataFrame) -> None:
    errors = errors_of(predictions)
    for kind, factor in (("set", 1.3), ("k", 1.4), ("budget", 3)):  # budgets extrapolate
        assert errors["transfer", kind] < factor * NOISE * MEAN_ABSOLUTE
    for kind in ("set", "k", "budget"):
        for other in ("exponential", "exponential_budget", "own_tokens", "constant"):
            assert errors[other, kind] > 1.5 * errors["transfer", kind]
        assert errors["constant", kind] > 0.15
    relative = prediction_errors(predictions).set_index(["law", "held_out"]).relative_error
    assert relative["transfer"].max() < 0.01


def test_the_exponential_law_wins_on_data_of_its_own() -> None:
    predictions = held_out_predictions(mixing_runs(0.003), held_out=["set"])
    errors = errors_of(predictions).droplevel("held_out")
    assert errors["exponential"] < 2.5 * 0.003 * MEAN_ABSOLUTE
    assert errors["exponential"] < errors.drop(["exponential", "exponential_budget"]).min()


def test_the_right_law_has_the_least_error_out_of_sample() -> None:
    def best(runs: MixtureRuns, laws: list[str]) -> str:
        predictions = held_out_predictions(runs, laws, ["set"])
        return str(errors_of(predictions).droplevel("held_out").idxmin())

    alone = known_runs(noise=NOISE, m=3, tau=np.eye(4))
    assert best(alone, ["constant", "own_tokens", "exponential_budget"]) == "own_tokens"
    same = known_runs(noise=NOISE, m=3, alpha=0.4, tau=(TAU + TAU.T) / 2)
    laws = ["transfer", "transfer_symmetric", "own_tokens"]
    assert best(same, laws) == "transfer_symmetric"


def test_what_other_runs_do_not_determine_is_not_predicted() -> None:
    sets = [(0,), (1,), (2,), (0, 1), (0, 1, 2)]  # c joins others in one set alone
    runs = known_runs(sets=sets)
    predictions = held_out_predictions(runs, ["transfer", "constant"], ["set"])
    chosen = (predictions.law == "transfer") & (predictions.value == "a + b + c")
    assert predictions.predicted[chosen].isna().all()
    errors = prediction_errors(predictions).set_index("law")
    # Without a alone, nothing separates what b is worth to it from A. So of b; and without a + b,
    # only the sum of what b and c are worth to a is known. c alone has no second set beside it.
    assert errors.undetermined["transfer"] == 3 * (3 + 1 + 1 + 2 + 1)
    assert errors.undetermined["constant"] == 0


def test_intervals_take_sets_for_units() -> None:
    rows = [
        ("one", "set", value, run, value, "a", 2.0, 2.0 + error)
        for run, (value, error) in enumerate([("a", 0.1), ("a", 0.1), ("b", 0.3), ("b", 0.3)])
    ]
    columns = ["law", "held_out", "value", "run", "set", "component", "xe", "predicted"]
    (row,) = prediction_errors(pd.DataFrame(rows, columns=columns)).itertuples()
    assert row.error == pytest.approx(0.2)
    # Two units, 0.1 and 0.3: standard error 0.1, quantile of t with 1 degree of freedom 12.7.
    assert row.high - row.error == pytest.approx(1.2706, rel=1e-3)
    assert (row.predictions, row.sets, row.undetermined) == (4, 2, 0)


def test_mistakes_are_told() -> None:
    with pytest.raises(ErgokedroError, match=r"held_out = 'colour' is unknown"):
        folds(known_runs(), ["colour"])
    three = held_out_predictions(known_runs(m=3), held_out=["set"])
    assert prediction_errors(three, ["law"]).set_index("law").predictions["exponential"] == 0
