"""Power: textbook values, agreement with simulated tests, and the numbers that a goal needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from ergokedro.analysis.power import (
    Variances,
    detectable_effect,
    expected_variance,
    needed,
    needed_by_unit,
    power_of,
)
from ergokedro.analysis.random_effects import SampleSize, estimate_means
from simulated_runs import simulate

VARIANCES = Variances(
    draws=0.02, seeds=0.02, documents=1.0, documents_draws=0.1, documents_seeds=0.25
)


def test_documents_alone_are_a_t_test() -> None:
    size = SampleSize(1, 1, 12)
    expected = TTestPower().power(0.9, 12, 0.05)
    assert power_of(1.8, Variances(documents=4.0), size) == pytest.approx(expected)
    effect = TTestPower().solve_power(nobs=12, alpha=0.05, power=0.8)
    assert detectable_effect(Variances(documents=4.0), size) == pytest.approx(2 * effect, rel=1e-4)
    count = needed(2 * effect, Variances(documents=4.0), size, "documents")
    assert count in (12, 13)


def test_the_variance_is_the_sum_over_the_sources() -> None:
    size = SampleSize(5, 3, 10, 4)
    variance, df = expected_variance(VARIANCES, size)
    documents = (1.0 + 0.1 / 5 + 0.25 / 15) / 40
    assert variance == pytest.approx(0.02 / 5 + 0.02 / 15 + documents)
    assert 4 < df < 40
    alone, df = expected_variance(VARIANCES, SampleSize(1, 1, 10, 4))
    assert alone == pytest.approx((1.0 + 0.1 + 0.25) / 40)
    assert df == pytest.approx(36)
    seeds, df = expected_variance(
        Variances(draws=1.0, seeds=0.3, documents=0.1), SampleSize(1, 3, 10)
    )
    assert seeds == pytest.approx(0.3 / 3 + 0.1 / 10)
    assert df < 3
    one_each, df = expected_variance(Variances(draws=0.2, seeds=0.3), SampleSize(4, 1, 10))
    assert (one_each, df) == pytest.approx((0.5 / 4, 3))


@pytest.mark.parametrize(
    ("variances", "size"),
    [
        (Variances(documents=1.0), SampleSize(1, 1, 6, 1)),
        (Variances(documents=1.0), SampleSize(1, 1, 10, 3)),
        (Variances(draws=1.0, documents=0.2), SampleSize(5, 1, 20, 1)),
        (replace(VARIANCES, draws=1.0, seeds=0.0), SampleSize(6, 2, 20, 1)),
        (VARIANCES, SampleSize(8, 3, 10, 3)),
    ],
)
def test_power_agrees_with_simulated_tests(variances: Variances, size: SampleSize) -> None:
    effect = detectable_effect(variances, size)
    assert power_of(effect, variances, size) == pytest.approx(0.8, abs=1e-3)
    observations, _ = simulate(np.random.default_rng(0), variances, size, 1500)
    shifted = replace(observations, sums=observations.sums + effect * observations.counts)
    detected = np.mean([e.p_value <= 0.05 for e in estimate_means(shifted)])
    assert detected == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("unit", ["draws", "seeds", "documents"])
def test_the_number_needed_is_the_smallest_that_detects_the_goal(unit: str) -> None:
    size = SampleSize(8, 8, 100, 3)
    goal = 1.001 * detectable_effect(VARIANCES, size._replace(**{unit: 11}))
    assert needed(goal, VARIANCES, size, unit) == 11
    count = needed(0.995 * goal, VARIANCES, size, unit)
    assert count is not None
    assert count > 11
    assert detectable_effect(VARIANCES, size._replace(**{unit: count - 1})) > 0.995 * goal


def test_what_no_number_reaches_is_none() -> None:
    size = SampleSize(3, 3, 100, 3)
    assert needed(0.01, VARIANCES, size, "documents") is None
    assert needed(0.01, VARIANCES, size, "draws") is None


def test_only_units_of_which_there_is_more_than_one_are_recommended() -> None:
    counts = needed_by_unit(0.1, Variances(documents=1.0), SampleSize(1, 1, 10, 1))
    assert set(counts) == {"documents"}
    assert set(needed_by_unit(0.1, VARIANCES, SampleSize(3, 1, 10, 1))) == {"draws", "documents"}


def test_without_chance_everything_is_detected() -> None:
    assert power_of(0.1, Variances(), SampleSize(3, 2, 10)) == 1
    assert power_of(0.0, Variances(), SampleSize(3, 2, 10)) == 0
    assert detectable_effect(Variances(), SampleSize(3, 2, 10)) == 0


def test_estimated_variances_are_those_of_the_simulation() -> None:
    """On average, and so that the expected variance at the same size is the estimate's own."""
    size = SampleSize(10, 6, 20, 2)
    observations, _ = simulate(np.random.default_rng(0), VARIANCES, size, 300)
    results = estimate_means(observations)
    averages = {
        name: np.mean([getattr(Variances.of(e), name) for e in results])
        for name in ("draws", "seeds", "documents", "documents_draws", "documents_seeds")
    }
    assert averages == pytest.approx(
        {name: getattr(VARIANCES, name) for name in averages}, rel=0.15
    )
    errors = [e.standard_error**2 for e in results]
    again = [expected_variance(Variances.of(e), size).variance for e in results]
    assert np.median(again) == pytest.approx(np.median(errors), rel=0.05)
