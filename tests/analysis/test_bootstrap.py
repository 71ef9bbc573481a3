"""The bootstrap: right on known data, honest about clusters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ergokedro.analysis import bootstrap
from ergokedro.analysis.bootstrap import bootstrap_means, cluster, intervals
from ergokedro.analysis.series import Selection
from ergokedro.parameters import AnalysisParameters


def test_means_are_over_tokens_and_strata_weigh_the_same() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [9.0, 9.0]])
    clusters = cluster(values, np.array([7, 7, 8, 9]), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(clusters.sums, [[4, 6], [5, 6], [9, 9]])
    np.testing.assert_allclose(clusters.counts, [2, 1, 1])
    np.testing.assert_allclose(bootstrap_means(clusters, 100, 0)[0], [(3 + 9) / 2, (4 + 9) / 2])
    selection = Selection(
        "test", "all", "", np.arange(4), np.array([7, 7, 8, 9]), np.array([0, 0, 0, 1]), True
    )
    assert selection.mean(values, AnalysisParameters(bootstrap=100)).value == (3.5 + 9) / 2


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


# Documents of each stratum, the spread of their effects, and of the effects of their differences.
STRATA = {0: (60, 0.30, 0.03), 1: (90, 0.15, 0.05), 2: (150, 0.05, 0.01)}
WINDOWS = 20
# Longer documents are harder, and cost more, by so much for each window beyond the first.
BY_LENGTH = 0.01
LAYOUTS, TRIALS = 400, 5


def draw_models(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Selection]:
    """NLL of two models of the same windows, a column for every trial.

    Documents have 1 to 20 windows and random effects, which the models share, and which differ
    between the models; both depend on how long the document is. Windows have noise of their own.
    """
    first, cost, strata = [], [], []
    for stratum, (n, spread, spread_of_cost) in STRATA.items():
        size = rng.integers(1, WINDOWS + 1, size=n)
        length = BY_LENGTH * (size[:, None] - 1)
        first.append((rng.normal(stratum, spread, (n, TRIALS)) + length).repeat(size, axis=0))
        cost.append((rng.normal(0.1, spread_of_cost, (n, TRIALS)) + length).repeat(size, axis=0))
        strata.append(np.stack([np.arange(n), np.full(n, stratum)]).repeat(size, axis=1))
    documents, stratum_of = np.concatenate(strata, axis=1)
    one = np.concatenate(first) + rng.normal(scale=0.5, size=(len(documents), TRIALS))
    two = one + np.concatenate(cost) + rng.normal(scale=0.05, size=one.shape)
    ids = 1000 * stratum_of + documents
    return one, two, Selection("test", "all", "", np.arange(len(ids)), ids, stratum_of, True)


def test_intervals_cover_clustered_data_as_often_as_they_say() -> None:
    """2,000 trials: 95 % intervals of a mean and of a paired difference cover 93 to 97 %.

    Those that take windows for independent cover far less.
    """
    n = np.arange(1, WINDOWS + 1)
    by_length = BY_LENGTH * (n * (n - 1)).sum() / n.sum()  # a mean over tokens, not documents
    truth = np.repeat([1 + by_length, 0.1 + by_length], TRIALS)
    covered = {"documents": np.zeros(2), "windows": np.zeros(2)}
    rng = np.random.default_rng(0)
    for layout in range(LAYOUTS):
        one, two, selection = draw_models(rng)
        alone = replace(selection, documents=np.arange(len(one)))
        params = AnalysisParameters(bootstrap=500, seed=layout)
        for unit, chosen in (("documents", selection), ("windows", alone)):
            if unit == "documents" or layout < LAYOUTS // 10:
                means = chosen.replicates(np.hstack([one, two - one]), params)
                found = np.array(intervals(means, 0.95))
                hits = (found[:, 1] <= truth) & (truth <= found[:, 2])
                covered[unit] += hits.reshape(2, TRIALS).sum(axis=1)
    shares = covered["documents"] / (LAYOUTS * TRIALS)
    assert ((shares >= 0.93) & (shares <= 0.97)).all(), shares
    assert (covered["windows"] / (LAYOUTS // 10 * TRIALS) < 0.8).all()


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
    monkeypatch.setattr(bootstrap, "_BLOCK", 350)
    np.testing.assert_allclose(bootstrap_means(clusters, 300, 4), whole)
