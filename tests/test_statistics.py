"""The bootstrap: right on known data, honest about clusters."""

from __future__ import annotations

import numpy as np
import pytest

from ergokedro.statistics import bootstrap_means, cluster, intervals, pooled


def test_means_are_over_tokens_and_strata_weigh_the_same() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [9.0, 9.0]])
    clusters = cluster(values, np.array([7, 7, 8, 9]), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(clusters.sums, [[4, 6], [5, 6], [9, 9]])
    np.testing.assert_allclose(bootstrap_means(clusters, 100, 0)[0], [(3 + 9) / 2, (4 + 9) / 2])
    np.testing.assert_allclose(bootstrap_means(pooled(clusters), 100, 0)[0], [(3.5 + 9) / 2])


def test_equal_documents_have_no_spread() -> None:
    clusters = cluster(np.full((40, 3), 2.5), np.repeat(np.arange(10), 4), np.repeat([0, 1], 20))
    for interval in intervals(bootstrap_means(clusters, 200, 0), 0.95):
        assert interval == pytest.approx((2.5, 2.5, 2.5, 0))


def test_standard_error_agrees_with_theory() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 1))
    clusters = cluster(values, np.arange(400), np.zeros(400, int))
    (interval,) = intervals(bootstrap_means(clusters, 4000, 1), 0.95)
    assert interval.standard_error == pytest.approx(values.std() / 20, rel=0.05)
    assert interval.value == pytest.approx(values.mean())


def test_intervals_cover_clustered_data_as_often_as_they_say() -> None:
    """Two strata of 60 documents with a document effect: 95 % intervals cover 93 to 97 %."""
    rng = np.random.default_rng(0)
    trials, documents, windows = 2000, 60, 4
    covered = naive = 0
    strata = np.repeat([0, 1], documents * windows)
    ids = np.repeat(np.arange(2 * documents), windows)
    for trial in range(trials):
        effect = rng.normal(size=2 * documents).repeat(windows)
        values = (effect + strata + rng.normal(size=len(ids)))[:, None]
        (good,) = intervals(bootstrap_means(cluster(values, ids, strata), 300, trial), 0.95)
        covered += good.low <= 0.5 <= good.high
        error = 1.96 * (values[:, 0] - strata).std() / np.sqrt(len(ids))
        naive += abs(values.mean() - 0.5) <= error
    assert 0.93 <= covered / trials <= 0.97
    assert naive / trials < 0.85


def test_replicates_depend_on_the_seed_alone() -> None:
    clusters = cluster(
        np.random.default_rng(0).normal(size=(50, 2)), np.arange(50), np.zeros(50, int)
    )
    np.testing.assert_array_equal(
        bootstrap_means(clusters, 300, 4), bootstrap_means(clusters, 300, 4)
    )
    assert (bootstrap_means(clusters, 300, 4)[1:] != bootstrap_means(clusters, 300, 5)[1:]).any()
