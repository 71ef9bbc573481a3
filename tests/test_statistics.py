"""The bootstrap: right on known data, honest about clusters."""

from __future__ import annotations

import numpy as np
import pytest

from ergokedro import statistics
from ergokedro.statistics import bootstrap_means, cluster, intervals, pooled


def test_means_are_over_tokens_and_strata_weigh_the_same() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [9.0, 9.0]])
    clusters = cluster(values, np.array([7, 7, 8, 9]), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(clusters.sums, [[4, 6], [5, 6], [9, 9]])
    np.testing.assert_allclose(clusters.counts, [2, 1, 1])
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


def test_one_document_in_a_stratum_has_a_mean_but_no_interval() -> None:
    clusters = cluster(np.ones((5, 1)), np.array([1, 1, 2, 3, 3]), np.array([0, 0, 0, 1, 1]))
    (interval,) = intervals(bootstrap_means(clusters, 100, 0), 0.95)
    assert interval.value == 1
    assert np.isnan(interval[1:]).all()


def test_other_strata_do_not_change_the_draws_of_one() -> None:
    values = np.random.default_rng(0).normal(size=(60, 1))
    ids, strata = np.arange(60), np.repeat([0, 1, 2], 20)
    alone = [
        bootstrap_means(cluster(values[at], ids[at], strata[at]), 300, 3)
        for at in (strata == 0, strata == 1, strata == 2)
    ]
    together = bootstrap_means(cluster(values, ids, strata), 300, 3)
    np.testing.assert_allclose(together, np.mean(alone, axis=0))


def test_many_documents_are_drawn_in_blocks_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clusters = cluster(
        np.random.default_rng(0).normal(size=(50, 2)), np.arange(50), np.zeros(50, int)
    )
    whole = bootstrap_means(clusters, 300, 4)
    monkeypatch.setattr(statistics, "_BLOCK", 350)
    np.testing.assert_allclose(bootstrap_means(clusters, 300, 4), whole)
