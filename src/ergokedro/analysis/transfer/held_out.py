"""Out-of-sample errors of laws: on sets, numbers of components and budgets that no fit has seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ergokedro.analysis.transfer.fitting import column_groups, problem_of
from ergokedro.analysis.transfer.laws import LAWS, Law
from ergokedro.analysis.transfer.least_squares import best_of_starts, undetermined
from ergokedro.analysis.transfer.runs import MixtureRuns, references
from ergokedro.errors import ErgokedroError

HELD_OUT = ("set", "k", "budget")
DEFAULT_LAWS = ("transfer", "own_tokens", "exponential", "exponential_budget", "constant")
_BY_DEFAULT = ("law", "held_out")


@dataclass(frozen=True)
class Fold:
    """Runs that are left out together.

    Attributes
    ----------
    held_out : 'set', 'k' or 'budget': what all runs of the fold, and no others, share.
    value : that set, K, or D in tokens.
    rows : bool (R,), the runs that are left out.
    """

    held_out: str
    value: str
    rows: np.ndarray


def folds(runs: MixtureRuns, held_out: Sequence[str] = HELD_OUT) -> list[Fold]:
    """All ways of leaving out one set of components, one K, or one budget.

    A kind of fold without a second value gives none: nothing would be left to fit.

    Raises
    ------
    ErgokedroError
        If a kind is unknown.
    """
    keys = {
        "set": np.array(runs.sets),
        "k": runs.sizes,
        "budget": np.round(runs.budgets).astype(np.int64),
    }
    result = []
    for kind in held_out:
        if kind not in keys:
            raise ErgokedroError(
                f"held_out = {kind!r} is unknown; use some of {', '.join(HELD_OUT)}."
            )
        values = np.unique(keys[kind])
        if len(values) > 1:
            result += [Fold(kind, str(value), keys[kind] == value) for value in values]
    return result


def held_out_predictions(
    runs: MixtureRuns,
    laws: Sequence[str] = DEFAULT_LAWS,
    held_out: Sequence[str] = HELD_OUT,
) -> pd.DataFrame:
    """What every law predicts of runs that its fit has not seen.

    Returns
    -------
    One row per law, fold, run of the fold and component that the run was trained on: `law`,
    `held_out` and `value` (see :class:`Fold`), `run` (its row), `set`, `k`, `budget`, `component`,
    `xe` and `predicted`, nats per token. `predicted` is NaN where the other runs do not determine
    it, as where no other run was trained on one of the set's components.

    Raises
    ------
    ErgokedroError
        If a law or a kind of fold is unknown, or no component was observed.
    """
    all_folds = folds(runs, held_out)
    kept = np.array([~fold.rows for fold in all_folds]).reshape(len(all_folds), len(runs.tokens))
    rows: list[dict[str, object]] = []
    for law in laws:
        predicted = _predict(runs, LAWS[law], kept)
        for fold, prediction in zip(all_folds, predicted, strict=True):
            rows += _rows(runs, law, fold, prediction)
    columns = ["law", "held_out", "value", "run", "set", "k", "budget", "component", "xe"]
    return pd.DataFrame(rows, columns=[*columns, "predicted"])


def _rows(
    runs: MixtureRuns, law: str, fold: Fold, prediction: np.ndarray
) -> Iterator[dict[str, object]]:
    for run, column in np.argwhere(runs.observed & fold.rows[:, None]):
        yield {
            "law": law,
            "held_out": fold.held_out,
            "value": fold.value,
            "run": int(run),
            "set": runs.sets[run],
            "k": int(runs.sizes[run]),
            "budget": float(runs.budgets[run]),
            "component": runs.components[column],
            "xe": float(runs.xe[run, column]),
            "predicted": float(prediction[run, column]),
        }


def _predict(runs: MixtureRuns, law: Law, kept: np.ndarray) -> np.ndarray:
    """Predictions (F, R, m) of fits to the runs `kept` (F, R); NaN where not determined."""
    predictions = np.full((len(kept), *runs.xe.shape), np.nan)
    scale = references(runs)
    for columns in column_groups(runs, law):
        problem, target, weight = problem_of(runs, law, columns, scale)
        rows, column = problem.sample.rows, problem.sample.column
        weights = weight * kept[:, rows]
        targets = np.tile(target, (len(kept), 1))
        solution = best_of_starts(
            problem.evaluate, problem.starts, targets, weights, *problem.bounds
        )
        values, slopes = problem.evaluate(solution.parameters)
        for fold in range(len(kept)):
            unknown = undetermined(weights[fold][:, None] * slopes[fold], slopes[fold])
            predictions[fold, rows, column] = np.where(unknown, np.nan, values[fold])
    return predictions


def prediction_errors(
    predictions: pd.DataFrame, by: Sequence[str] = _BY_DEFAULT, confidence: float = 0.95
) -> pd.DataFrame:
    """Mean errors of :func:`held_out_predictions`, by law and what was held out.

    Parameters
    ----------
    by : columns to group by; such as ('law', 'held_out', 'value', 'component').

    Returns
    -------
    One row per group: `by`; `error`, mean of |predicted - xe|, nats per token, and `low`, `high`;
    `rmse`, root of the mean square; `bias`, mean of predicted - xe; `relative_error`, mean of
    |predicted - xe| / xe; `predictions`, how many; `sets`, of how many sets of components;
    `undetermined`, how many observations more the law could not predict. The interval is of
    Student's t over sets, whose runs are one unit: NaN with one set alone. It takes the folds for
    independent, though their fits share runs.
    """
    difference = predictions.predicted - predictions.xe
    table = predictions.assign(difference=difference, size=difference.abs())
    rows = []
    for key, group in table.groupby(list(by), sort=False):
        known = group[group.predicted.notna()]
        low, high = _interval(known["size"], known.set, confidence)[1:]
        rows.append(
            {
                **dict(zip(by, key, strict=True)),
                "error": known["size"].mean(),
                "low": low,
                "high": high,
                "rmse": float(np.sqrt((known.difference**2).mean())),
                "bias": known.difference.mean(),
                "relative_error": (known["size"] / known.xe).mean(),
                "predictions": len(known),
                "sets": known.set.nunique(),
                "undetermined": len(group) - len(known),
            }
        )
    return pd.DataFrame(rows)


def _interval(values: pd.Series, sets: pd.Series, confidence: float) -> tuple[float, float, float]:
    """The mean, and its t interval with sets as units (their sums about the mean)."""
    from scipy.stats import t

    mean = values.mean() if len(values) else np.nan
    units = (values - mean).groupby(sets).sum()
    count = len(units)
    if count < 2:
        return mean, np.nan, np.nan
    error = np.sqrt((units**2).sum() * count / (count - 1)) / len(values)
    margin = t.ppf((1 + confidence) / 2, count - 1) * error
    return mean, mean - margin, mean + margin
