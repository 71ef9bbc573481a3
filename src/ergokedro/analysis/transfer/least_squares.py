"""Bounded nonlinear least squares, for many problems of one shape at once.

A bootstrap, the folds of a cross-validation and the points of a profile are the same problem with
other targets, weights or bounds. They are solved together: B problems of N observations and p
parameters, as arrays with a leading axis B.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# (B, p) parameters -> (B, N) predictions and their derivatives (B, N, p).
Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

_ITERATIONS = 200
# Iterations after which the best of several starts is known.
_SCREENING = 100
_TOLERANCE = 1e-10
_MAX_DAMPING = 1e12
# Columns of a scaled Jacobian are dependent below this ratio of singular values.
_RANK_TOLERANCE = 1e-8
# Derivatives in one step: bounds the memory of a bootstrap.
_BLOCK = 2**22
# A profile starts at this part of the way to a limit and doubles it, then bisects.
_FIRST_FRACTION = 2.0**-12
_PROFILE_STEPS = 20
# Residuals of this part of the target count as none: rounding of an exact fit.
_EXACT = 1e-8


class Solution(NamedTuple):
    """Parameters (B, p) and the weighted sums of squared residuals there (B,)."""

    parameters: np.ndarray
    cost: np.ndarray


class _Problems(NamedTuple):
    """Targets and weights (B, N), bounds (B, p)."""

    target: np.ndarray
    weight: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def subset(self, rows: np.ndarray) -> _Problems:
        return _Problems(*(field[rows] for field in self))


def solve(
    evaluate: Evaluate,
    start: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    iterations: int = _ITERATIONS,
) -> Solution:
    """Minimise sum (weight (target - prediction))^2 of every problem within its bounds.

    Levenberg and Marquardt's method with projection on the bounds (Kanzow, Yamashita and Fukushima
    2004, Levenberg-Marquardt methods with strong local convergence properties for solving nonlinear
    equations with convex constraints): a parameter at a bound that the gradient pushes outwards
    stays there. A parameter whose bounds are equal is fixed.

    Parameters
    ----------
    evaluate : the model.
    start : float64 (B, p), or (p,) for all.
    target, weight : float64 (B, N), or (N,); weight 0 leaves an observation out.
    lower, upper : float64 (B, p), or (p,).
    iterations : at most so many.
    """
    batch = np.broadcast_shapes(*(np.shape(a)[:-1] for a in (start, target, weight, lower, upper)))
    n, p = np.shape(target)[-1], np.shape(start)[-1]
    count = batch[0] if batch else 1
    theta = np.array(np.broadcast_to(start, (count, p)), dtype=np.float64)
    data = (np.broadcast_to(a, (count, n)) for a in (target, weight))
    bounds = (np.broadcast_to(a, (count, p)) for a in (lower, upper))
    problems = _Problems(*data, *bounds)
    cost = np.empty(count)
    step = max(1, _BLOCK // max(1, n * p))
    for first in range(0, count, step):
        rows = np.arange(first, min(first + step, count))
        part = problems.subset(rows)
        theta[rows], cost[rows] = _solve_block(evaluate, theta[rows], part, iterations)
    return Solution(theta, cost)


def _solve_block(
    evaluate: Evaluate, start: np.ndarray, problems: _Problems, iterations: int
) -> Solution:
    """:func:`solve` for as many problems as fit into memory; solved ones drop out."""
    theta = np.clip(start, problems.lower, problems.upper)
    prediction, jacobian = evaluate(theta)
    cost = _cost(prediction, problems)
    damping = np.full(len(theta), 1e-3)
    active = np.arange(len(theta))
    for _ in range(iterations):
        part = problems.subset(active)
        trial = _step(theta[active], prediction, jacobian, damping[active], part)
        new_prediction, new_jacobian = evaluate(trial)
        new_cost = _cost(new_prediction, part)
        better = new_cost < cost[active]
        moved = np.abs(trial - theta[active]) > _TOLERANCE * (np.abs(trial) + _TOLERANCE)
        gained = cost[active] - new_cost > _TOLERANCE * cost[active]
        theta[active[better]], cost[active[better]] = trial[better], new_cost[better]
        prediction = np.where(better[:, None], new_prediction, prediction)
        jacobian = np.where(better[:, None, None], new_jacobian, jacobian)
        damping[active] *= np.where(better, 0.2, 5.0)
        np.clip(damping, _TOLERANCE, None, out=damping)
        # A rejected step is tried again with more damping until it no longer moves anything.
        going = moved.any(axis=1) & (gained | ~better) & (damping[active] < _MAX_DAMPING)
        active, prediction, jacobian = active[going], prediction[going], jacobian[going]
        if not len(active):
            break
    return Solution(theta, cost)


def _cost(prediction: np.ndarray, problems: _Problems) -> np.ndarray:
    """Weighted sum of squared residuals; infinite where the prediction is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        cost = ((problems.weight * (problems.target - prediction)) ** 2).sum(axis=1)
    return np.where(np.isfinite(cost), cost, np.inf)


def _step(
    theta: np.ndarray,
    prediction: np.ndarray,
    jacobian: np.ndarray,
    damping: np.ndarray,
    problems: _Problems,
) -> np.ndarray:
    """One damped step of every problem, clipped to its bounds."""
    weighted = problems.weight[:, :, None] * jacobian
    residual = problems.weight * (problems.target - prediction)
    gradient = np.einsum("bnp,bn->bp", weighted, residual)
    normal = np.swapaxes(weighted, 1, 2) @ weighted
    down = (theta <= problems.lower) & (gradient < 0)
    up = (theta >= problems.upper) & (gradient > 0)
    free = ~(down | up | (problems.lower == problems.upper))
    normal *= free[:, :, None] & free[:, None, :]
    diagonal = np.einsum("bpp->bp", normal)
    scale = np.maximum(diagonal, 1e-12 * diagonal.max(axis=1, keepdims=True))
    scale = np.where(free & (scale > 0), scale, 1.0)
    index = np.arange(theta.shape[1])
    normal[:, index, index] += np.where(free, damping[:, None] * scale, 1.0)
    step = np.linalg.solve(normal, np.where(free, gradient, 0.0)[:, :, None])[:, :, 0]
    return np.asarray(np.clip(theta + step, problems.lower, problems.upper))


def best_of_starts(
    evaluate: Evaluate,
    starts: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> Solution:
    """The solution of every problem from the best of several starts (S, p).

    The best is the one of least cost after a few iterations.

    Parameters
    ----------
    target, weight : float64 (B, N); bounds (p,) for all. See :func:`solve`.
    """
    count, batch = len(starts), len(target)
    repeated = np.repeat(starts, batch, axis=0)
    data = np.tile(target, (count, 1)), np.tile(weight, (count, 1))
    screened = solve(evaluate, repeated, *data, lower, upper, _SCREENING)
    best = screened.cost.reshape(count, batch).argmin(axis=0)
    chosen = screened.parameters.reshape(count, batch, -1)[best, np.arange(batch)]
    return solve(evaluate, chosen, target, weight, lower, upper)


def profile_limits(
    evaluate: Evaluate,
    estimate: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    factor: float,
) -> np.ndarray:
    """Ends of the profile intervals of all parameters: float64 (p, 2).

    The interval of a parameter holds every value at which the cost, minimised over all others, is
    at most `factor` times its minimum (Bates and Watts 1988, Nonlinear regression analysis and its
    applications, section 6.1). With factor = 1 + t²/(N - p), t the quantile of Student's
    distribution, it is the t interval where the model is linear; unlike that it also shows where
    data leave a parameter open: then an end is one of `bounds`.

    Parameters
    ----------
    estimate : float64 (p,), the parameters of least cost.
    target, weight : float64 (N,).
    bounds : lower and upper, float64 (p,), finite.
    """
    index = np.tile(np.arange(len(estimate)), 2)
    origin, limit = estimate[index], np.concatenate(bounds)
    threshold = max(
        factor * ((weight * (target - evaluate(estimate[None])[0][0])) ** 2).sum(),
        ((_EXACT * weight * target) ** 2).sum(),
    )
    # How far towards its limit a parameter is known to stay below the threshold, and to exceed it.
    inside, outside = np.zeros(len(index)), np.full(len(index), np.nan)
    start = np.tile(estimate, (len(index), 1))
    for _ in range(_PROFILE_STEPS):
        outwards = np.minimum(1.0, np.maximum(2 * inside, _FIRST_FRACTION))
        trial = np.where(np.isnan(outside), outwards, (inside + outside) / 2)
        fixed = _fixed(bounds, index, origin + trial * (limit - origin))
        solved = solve(evaluate, start, target, weight, *fixed)
        held = solved.cost <= threshold
        inside, outside = np.where(held, trial, inside), np.where(held, outside, trial)
        start[held] = solved.parameters[held]
    return (origin + inside * (limit - origin)).reshape(2, -1).T


def _fixed(
    bounds: tuple[np.ndarray, np.ndarray], index: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The bounds of as many problems as values, in each of which one parameter is fixed."""
    lower, upper = (np.tile(bound, (len(index), 1)) for bound in bounds)
    rows = np.arange(len(index))
    lower[rows, index] = upper[rows, index] = values
    return lower, upper


def jacobian_rank(jacobian: np.ndarray) -> int:
    """How many combinations of the parameters the observations (N, p) determine."""
    return _directions(jacobian)[2]


def pseudoinverse(jacobian: np.ndarray) -> tuple[np.ndarray, int]:
    """How estimates move with weighted observations: float64 (p, N), and the rank of (N, p).

    Of parameters that are determined only together, all move as little as they can, in the scale
    of their columns.
    """
    scale, _, rank = _directions(jacobian)
    inverse = np.linalg.pinv(jacobian / scale, rcond=_RANK_TOLERANCE) / scale[:, None]
    return np.asarray(inverse), rank


def undetermined(jacobian: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Which linear functions of the parameters the observations leave open.

    Parameters
    ----------
    jacobian : float64 (N, p), weighted derivatives of the predictions of the observations.
    gradients : float64 (M, p), derivatives of the functions: rows of the identity for the
        parameters themselves, derivatives of other predictions for those.

    Returns
    -------
    bool (M,): the function changes along a direction that changes no observation.
    """
    scale, directions, rank = _directions(jacobian)
    scaled = gradients / scale
    size = np.linalg.norm(scaled, axis=1)
    open_part = np.linalg.norm(scaled @ directions[rank:].T, axis=1)
    return np.asarray(open_part > 1e-6 * np.maximum(size, np.finfo(float).tiny))


def _directions(jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Scales of the columns (p,), directions of scaled parameters (p, p), and the rank.

    Directions are in rows; those from the rank on change no observation.
    """
    norms = np.linalg.norm(jacobian, axis=0)
    scale = np.where(norms > 0, norms, 1.0)
    triangle = np.linalg.qr(jacobian / scale, mode="r")  # as many rows as columns at most
    _, singular, directions = np.linalg.svd(triangle, full_matrices=True)
    rank = int((singular > _RANK_TOLERANCE * singular.max(initial=0)).sum())
    return scale, directions, rank
