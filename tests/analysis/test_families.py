"""Families of contrasts: corrections, decisions, and what would decide the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.stats.multitest import multipletests

from ergokedro.analysis.families import HIGHER, LOWER, NOT_DETERMINED, decide, holm
from ergokedro.analysis.power import Variances, detectable_effect
from ergokedro.analysis.random_effects import Estimate, SampleSize, estimate_means, observe
from simulated_runs import simulate


def contrasts(*means: float, documents: int = 40, spread: float = 0.1) -> list[Estimate]:
    """Estimates from one draw and seed."""
    noise = np.random.default_rng(0).normal(scale=spread, size=(len(means), 1, documents))
    noise -= noise.mean(axis=-1, keepdims=True)
    values = noise + np.array(means)[:, None, None]
    one = np.zeros(1, int)
    return estimate_means(observe(values, np.arange(documents), np.zeros(documents, int), one))


def test_holm_is_that_of_statsmodels() -> None:
    p_values = np.array([0.01, 0.04, 0.03, 0.005, 0.5, 0.03])
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1])
    with_gap = np.insert(p_values, 2, np.nan)
    adjusted = holm(with_gap)
    assert np.isnan(adjusted[2])
    np.testing.assert_allclose(np.delete(adjusted, 2), holm(p_values))


def test_decisions_name_the_direction() -> None:
    decisions = decide(contrasts(0.2, -0.2, 0.001))
    assert [d.word for d in decisions] == [HIGHER, LOWER, NOT_DETERMINED]
    assert decisions[0].needed == {}
    assert decisions[0].p_adjusted >= decisions[0].p_value


def test_intervals_hold_for_the_family() -> None:
    family = contrasts(0.2, -0.2, 0.001, 0.0)
    (first, *_) = decide(family)
    half = t.ppf(1 - 0.05 / 4 / 2, family[0].degrees_of_freedom) * family[0].standard_error
    assert first.simultaneous.high == pytest.approx(0.2 + half)
    assert first.simultaneous.low == pytest.approx(0.2 - half)
    assert first.simultaneous.low < family[0].low


def test_what_is_not_determined_says_what_would_determine_it() -> None:
    family = contrasts(0.02, 0.5)
    documents = decide(family)[0].needed["documents"]
    assert documents is not None
    assert documents > 100
    size = SampleSize(1, 1, documents)
    effect = detectable_effect(Variances.of(family[0]), size, alpha=0.025)
    assert effect == pytest.approx(0.02, rel=0.01)
    by_goal = decide(family, goal=0.01)[0].needed["documents"]
    assert by_goal == pytest.approx(4 * documents, rel=0.05)


def test_without_an_interval_nothing_is_determined() -> None:
    one = np.zeros(1, int)
    (single,) = estimate_means(observe(np.ones((1, 3)), one.repeat(3), one.repeat(3), one))
    first, second = decide([single, *contrasts(0.2)])
    assert first.word == NOT_DETERMINED
    assert first.needed == {}
    assert np.isnan(first.p_adjusted)
    assert second.word == HIGHER
    assert second.p_adjusted == second.p_value


def test_a_family_of_nulls_is_wrong_as_rarely_as_one_contrast() -> None:
    """Four contrasts to one baseline, four draws, two seeds in each: at most 5 % wrong."""
    size = SampleSize(4, 2, 20, 1)
    variances = Variances(draws=0.5, seeds=0.5, documents=1.0, documents_seeds=0.5)
    observations, _ = simulate(np.random.default_rng(0), variances, size, 5 * 400)
    sums = observations.sums.reshape(400, 5, 8, 20)
    differences = (sums[:, 1:] - sums[:, :1]).reshape(-1, 8, 20)
    family = estimate_means(replace(observations, sums=differences))
    p_values = np.array([e.p_value for e in family]).reshape(400, 4)
    wrong = np.array([holm(of_family).min() <= 0.05 for of_family in p_values])
    outside = (p_values <= 0.05 / 4).any(axis=1)
    np.testing.assert_array_equal(wrong, outside)
    assert 0.01 <= wrong.mean() <= 0.07
