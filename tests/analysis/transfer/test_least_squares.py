"""The batched solver against scipy, and profiles against what linear theory says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from ergokedro.analysis.transfer.least_squares import (
    Evaluate,
    best_of_starts,
    profile_limits,
    solve,
    undetermined,
)

X = np.linspace(0.1, 5, 30)


def decay(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b exp(-c x)."""
    a, b, c = theta.T[:, :, None]
    part = np.exp(-c * X)
    slopes = (np.ones_like(part), part, -b * X * part)
    return a + b * part, np.stack(slopes, axis=2)


def linear(design: np.ndarray) -> Evaluate:
    return lambda theta: (
        theta @ design.T,
        np.broadcast_to(design, (len(theta), *design.shape)),
    )


def test_many_problems_at_once_agree_with_scipy_within_bounds() -> None:
    rng = np.random.default_rng(0)
    truth = np.stack([rng.uniform(-1, 2, 40), rng.uniform(0.5, 3, 40), rng.uniform(0.2, 2, 40)], 1)
    target = decay(truth)[0] + rng.normal(size=(40, 30)) * 0.1
    weight = rng.uniform(0.5, 2, (40, 30))
    lower, upper = np.array([0.0, 0.0, 0.1]), np.array([1.5, 5.0, 1.5])
    start = np.array([0.5, 1.0, 0.5])
    found = solve(decay, start, target, weight, lower, upper)
    for y, w, theta, cost in zip(target, weight, found.parameters, found.cost, strict=True):
        expected = optimize.least_squares(
            lambda p, y=y, w=w: w * (decay(p[None])[0][0] - y),
            start,
            bounds=(lower, upper),
            xtol=1e-14,
            ftol=1e-14,
            gtol=1e-14,
        )
        assert cost == pytest.approx(2 * expected.cost, rel=1e-6)
        np.testing.assert_allclose(theta, expected.x, rtol=1e-3, atol=1e-4)
    at_bounds = (found.parameters == lower) | (found.parameters == upper)
    assert at_bounds[:, 0].any()
    assert not at_bounds.all()


def test_weight_zero_leaves_an_observation_out() -> None:
    target = decay(np.array([[1.0, 2.0, 0.7]]))[0]
    spoilt, weight = target.copy(), np.ones((1, 30))
    spoilt[0, :5] = 99
    weight[0, :5] = 0
    limits = np.full(3, -10.0), np.full(3, 10.0)
    found = solve(decay, np.array([0.0, 1.0, 1.0]), spoilt, weight, *limits)
    np.testing.assert_allclose(found.parameters, [[1.0, 2.0, 0.7]], rtol=1e-6)


def test_the_best_start_wins() -> None:
    def wave(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sin(theta * X), (X * np.cos(theta * X))[:, :, None]

    target = np.sin(np.array([[2.0], [5.0]]) * X)
    starts = np.array([[1.9], [5.1]])
    limits = np.array([0.0]), np.array([9.0])
    found = best_of_starts(wave, starts, target, np.ones_like(target), *limits)
    np.testing.assert_allclose(found.parameters, [[2.0], [5.0]], rtol=1e-6)


def test_profile_intervals_of_a_linear_model_are_t_intervals() -> None:
    rng = np.random.default_rng(1)
    design = np.column_stack([np.ones(12), rng.normal(size=(12, 2))])
    y = design @ [1.0, 2.0, -0.5] + rng.normal(size=12)
    estimate = np.linalg.lstsq(design, y)[0]
    freedom = 9
    quantile = stats.t.ppf(0.975, freedom)
    limits = profile_limits(
        linear(design),
        estimate,
        y,
        np.ones(12),
        (np.full(3, -100.0), np.full(3, 100.0)),
        1 + quantile**2 / freedom,
    )
    variance = ((y - design @ estimate) ** 2).sum() / freedom
    error = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    expected = estimate[:, None] + quantile * error[:, None] * [-1, 1]
    np.testing.assert_allclose(limits, expected, atol=0.02)


def test_a_profile_that_never_rises_ends_at_the_bounds() -> None:
    design = np.column_stack([np.ones(5), np.ones(5)])  # only their sum is known
    limits = profile_limits(
        linear(design), np.zeros(2), np.array([0.1, -0.1, 0.2, -0.2, 0.0]), np.ones(5),
        (np.array([-3.0, -7.0]), np.array([7.0, 3.0])), 2.0,
    )  # fmt: skip
    np.testing.assert_allclose(limits, [[-3, 7], [-7, 3]], atol=1e-6)


def test_what_observations_leave_open_is_told_from_what_they_fix() -> None:
    design = np.array([[1.0, 1, 0, 0], [2, 2, 1, 0], [0, 0, 3, 0]])
    assert undetermined(design, np.eye(4)).tolist() == [True, True, False, True]
    sums = np.array([[1.0, 1, 0, 0], [1, -1, 0, 0], [0, 0, 0, 0]])
    assert undetermined(design, sums).tolist() == [False, True, False]
