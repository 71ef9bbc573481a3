"""Which curve the cross entropy follows in K: every K is predicted from the others.

    log           a + b log K
    saturation    a + b (1 - exp(-(K - 1) / c))
    law           a - b log(tau + (1 - tau) / K)

`law` is the transfer law of :mod:`ergokedro.analysis.transfer` at one D for components that are
alike: K parts of D / K tokens, of which a token of the others is worth tau own ones, are worth
D (tau + (1 - tau) / K) tokens; for a small exponent, their power is linear in their logarithm. With
tau = 0 it is `log`; with tau > 0 it has an end, as `saturation` has.

A fit is by least squares over the K, each weighing the same. What is computed from the fits changes
with the XE of every K; with these derivatives (the delta method) it is a mean over tokens, whose
interval holds draws, seeds and documents as that of any other mean does. Predictions are unchanged
in form where XE is scaled or shifted, so the mean equals the number itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ergokedro.analysis.contrasts import Replicates, chain_replicates, shared_repeats
from ergokedro.analysis.controls.subsets import balanced_replicates
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.random_effects import Estimate
from ergokedro.analysis.series import ResultRow, Selection

# A curve of three parameters needs one point more than it has parameters, beside the one left out.
_LEAST_K = 5
_GRID, _ZOOMS = 33, 12
# Step of the numerical derivatives, as a part of the range of XE over K.
_STEP = 1e-3
_DIGITS = 9  # of nats per token, that differ between two shapes


class Shape(NamedTuple):
    """A curve a + b x(K), which may have a third parameter.

    Attributes
    ----------
    basis : x, float64, of K and of the third parameter, which broadcast.
    parameters : those that are tried, by a position from 0 to 1; None without a third one.
    """

    basis: Callable[[np.ndarray, np.ndarray], np.ndarray]
    parameters: Callable[[np.ndarray], np.ndarray] | None = None


def _log(k: np.ndarray, parameter: np.ndarray) -> np.ndarray:
    return np.log(k) + 0 * parameter


def _saturation(k: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.asarray(-c * np.expm1(-(k - 1) / c))  # times c, so that it has a limit for large c


def _law(k: np.ndarray, tau: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log(tau + (1 - tau) / k) / (1 - tau))  # a limit for tau near 1


SHAPES: Mapping[str, Shape] = {
    "log": Shape(_log),
    "saturation": Shape(_saturation, lambda position: 0.2 * 1000**position),
    "law": Shape(_law, lambda position: 0.99 * position),
}


class Curve(NamedTuple):
    """A fitted shape; `parameter` is c or tau, 0 where there is none."""

    shape: Shape
    a: float
    b: float
    parameter: float

    def __call__(self, k: np.ndarray) -> np.ndarray:
        """XE at K: float64, nats per token."""
        return self.a + self.b * self.shape.basis(k, np.array(self.parameter))


def fit_shape(shape: Shape, k: np.ndarray, xe: np.ndarray) -> Curve:
    """The curve with the least sum of squares.

    The third parameter is searched on a grid that is made finer about its best point; a and b have
    a closed form.

    Parameters
    ----------
    k, xe : float64 (n,), two different K at least.
    """
    if shape.parameters is None:
        slope, level, _ = _lines(shape.basis(k, np.zeros((1, 1))), xe)
        return Curve(shape, float(level[0]), float(slope[0]), 0.0)
    low, high = 0.0, 1.0
    for _ in range(_ZOOMS):
        positions = np.linspace(low, high, _GRID)
        tried = shape.parameters(positions)
        slope, level, squares = _lines(shape.basis(k, tried[:, None]), xe)
        best = int(squares.argmin())
        low, high = positions[max(best - 1, 0)], positions[min(best + 1, _GRID - 1)]
    return Curve(shape, float(level[best]), float(slope[best]), float(tried[best]))


def _lines(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, level and sum of squares of the regressions of y (n,) on every row of x (m, n)."""
    centred = x - x.mean(axis=1, keepdims=True)
    slope = centred @ y / (centred**2).sum(axis=1)
    level = y.mean() - slope * x.mean(axis=1)
    return slope, level, ((level[:, None] + slope[:, None] * x - y) ** 2).sum(axis=1)


def prediction_errors(shape: Shape, k: np.ndarray, xe: np.ndarray) -> np.ndarray:
    """Predicted less measured XE of every K but the first, each by a fit to the others.

    Parameters
    ----------
    k, xe : float64 (n,), by ascending K.

    Returns
    -------
    float64 (n - 1,), nats per token.
    """
    kept = ~np.eye(len(k), dtype=bool)[1:]
    curves = [fit_shape(shape, k[others], xe[others]) for others in kept]
    return np.array([float(curve(at)) for curve, at in zip(curves, k[1:], strict=True)]) - xe[1:]


def shapes(experiment: Experiment, split: str = "test") -> Iterator[ResultRow]:
    """How well each shape predicts a K that it has not seen.

    Yields
    ------
    Rows of series 'balanced', where sets were run, and 'smallest'; `run` is the shape:

    - shape_prediction_error: predicted less measured XE of the K that was left out, nats per token;
    - shape_error: the mean of its absolute values over all K above the smallest; `k` is 0;
    - shape_error_to_log: the same less that of `log`.

    Nothing with fewer than five K.
    """
    run = experiment.chain[0]
    sources = {"smallest": (chain_replicates(experiment, split), "smallest")}
    if experiment.settings.get("subsets"):
        sources["balanced"] = (balanced_replicates(experiment, split), "all")
    for series, (replicates, text) in sources.items():
        if len(replicates) >= _LEAST_K:
            selection = experiment.selection(split, run, text)
            selection = replace(selection, series=series, trained=True)
            yield from _series(experiment, selection, replicates)


def _series(
    experiment: Experiment, selection: Selection, replicates: Replicates
) -> Iterator[ResultRow]:
    k = np.array(list(replicates), dtype=np.float64)

    def numbers(xe: np.ndarray) -> np.ndarray:
        """Errors of all shapes, their absolute means, and these less that of `log`."""
        errors = np.stack([prediction_errors(shape, k, xe) for shape in SHAPES.values()])
        means = np.abs(errors).mean(axis=1)
        # Where the law is best without transfer, it is `log`: equal, whatever rounding says.
        return np.concatenate([errors.ravel(), means, (means - means[0]).round(_DIGITS)])

    estimates = iter(_estimates(experiment, selection, replicates, numbers))
    for name in SHAPES:
        for left_out in list(replicates)[1:]:
            error = next(estimates)
            yield selection.row("shape_prediction_error", error, run=name, k=left_out)
    for quantity in ("shape_error", "shape_error_to_log"):
        for name in SHAPES:
            estimate = next(estimates)
            if (quantity, name) != ("shape_error_to_log", "log"):
                yield selection.row(quantity, estimate, run=name, k=0)


def _estimates(
    experiment: Experiment,
    selection: Selection,
    replicates: Replicates,
    function: Callable[[np.ndarray], np.ndarray],
) -> list[Estimate]:
    """Numbers that follow from the XE of every K, by the delta method.

    Parameters
    ----------
    function : of XE by K (n,), float64; gives m numbers that do not change where a constant is
        added to XE, and that are proportional to it.
    """
    shared = shared_repeats(replicates)
    means = np.array(
        [
            [by_repeat[key].mean(axis=1, dtype=np.float64) for key in shared]
            for by_repeat in replicates.values()
        ]
    )
    differences = means - means[0]  # (K, repeats, windows)
    draws = [draw for draw, _ in shared]
    measured = selection.estimates(differences, experiment.params, draws)
    xe = np.array([estimate.value for estimate in measured])
    combined = np.tensordot(derivatives(function, xe), differences, axes=1)
    estimates = selection.estimates(combined, experiment.params, draws)
    return [_move(estimate, value) for estimate, value in zip(estimates, function(xe), strict=True)]


def derivatives(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """Of m numbers with respect to the XE of every K, by central differences: float64 (m, n)."""
    step = _STEP * (np.ptp(at) or 1.0)
    ends = [(function(at + shift), function(at - shift)) for shift in step * np.eye(len(at))]
    return np.stack([(above - below) / (2 * step) for above, below in ends], axis=1)


def _move(estimate: Estimate, value: float) -> Estimate:
    """The estimate with this value, and its interval about it."""
    shift = float(value) - estimate.value
    low, high = estimate.low + shift, estimate.high + shift
    return replace(estimate, value=float(value), low=low, high=high)
