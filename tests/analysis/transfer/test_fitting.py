"""Fits of laws on runs whose law is known: recovery, coverage, and what is not determined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.analysis.bootstrap import Clusters, Interval, bootstrap_means
from ergokedro.analysis.transfer.document_variance import DocumentVariance, add_documents
from ergokedro.analysis.transfer.fitting import LawFit, fit_law
from ergokedro.analysis.transfer.laws import LAWS
from ergokedro.analysis.transfer.runs import MixtureRuns
from ergokedro.errors import ErgokedroError
from transfer_runs import (
    ALPHA,
    COMPONENTS,
    REFERENCE,
    TAU,
    A,
    E,
    all_sets,
    exchange_matrix,
    known_runs,
    law_xe,
)


def truth(fit: LawFit) -> list[float]:
    """What the estimates of a fit to known runs, component by component, should be."""
    values: list[float] = []
    for i in range(len(fit.components)):
        part = A[i] * (fit.references[i] / REFERENCE) ** -ALPHA[i]
        others = np.delete(TAU[i, : len(fit.components)], i)
        values += [E[i], part, ALPHA[i], *others]
    return values


def test_exact_runs_give_back_every_parameter() -> None:
    runs = known_runs(m=4)
    fit = fit_law(runs)
    values = [estimate.interval.value for estimate in fit.estimates]
    np.testing.assert_allclose(values, truth(fit), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(exchange_matrix(fit), TAU, atol=1e-5)
    assert all(estimate.determined for estimate in fit.estimates)
    new = np.array([[4e5, 3e5, 2e5, 1e5], [0.0, 5e6, 1e4, 0.0]])
    np.testing.assert_allclose(fit.predict(new), law_xe(new), atol=1e-5)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    hits, values = [], []
    for trial in range(40):
        fit = fit_law(known_runs(noise=0.01, seed=trial, budgets=(1.5e5, 6e5)))
        expected = np.array(truth(fit))
        intervals = np.array([estimate.interval for estimate in fit.estimates])
        hits.append((intervals[:, 1] <= expected + 1e-6) & (expected - 1e-6 <= intervals[:, 2]))
        values.append(intervals[:, 0])
    # 40 trials of 15 parameters; estimates at τ = 0 make it conservative.
    assert 0.93 <= np.mean(hits) <= 0.99
    assert np.mean(hits, axis=0).min() >= 0.85
    medians = np.median(values, axis=0)
    spread = np.std(values, axis=0)
    assert (np.abs(medians - expected) < spread).all()


def test_identical_sources_are_worth_one_and_unrelated_ones_nothing() -> None:
    tau = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    exact = exchange_matrix(fit_law(known_runs(tau=tau)))
    np.testing.assert_allclose(exact, tau, atol=1e-5)
    fit = fit_law(known_runs(noise=0.01, tau=tau))
    for c, j in ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)):
        interval = fit.estimate("tau", COMPONENTS[c], COMPONENTS[j]).interval
        assert interval.low <= tau[c, j] <= interval.high
        assert interval.high - interval.low < 0.35


def test_negative_transfer_is_found_where_it_is_allowed() -> None:
    tau = np.array([[1.0, -0.3, 0.2], [0.0, 1.0, 0.1], [0.0, 0.0, 1.0]])
    runs = known_runs(noise=0.003, tau=tau)
    allowed = fit_law(runs, "transfer_negative").estimate("tau", "a", "b").interval
    assert allowed.low <= -0.3 <= allowed.high < 0
    assert fit_law(runs, "transfer").estimate("tau", "a", "b").interval.value == 0


def test_shared_parameters_are_fitted_over_all_components() -> None:
    symmetric = (TAU[:3, :3] + TAU[:3, :3].T) / 2
    fit = fit_law(known_runs(tau=symmetric), "transfer_symmetric")
    np.testing.assert_allclose(exchange_matrix(fit), symmetric, atol=1e-4)
    assert fit.estimate("tau", "b", "a") is fit.estimate("tau", "a", "b")
    shared = fit_law(known_runs(alpha=0.4), "transfer_shared_alpha")
    assert shared.estimate("alpha", "b").interval.value == pytest.approx(0.4, abs=1e-4)
    np.testing.assert_allclose(exchange_matrix(shared), TAU[:3, :3], atol=1e-4)


@settings(max_examples=5, deadline=None)
@given(factor=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_the_unit_of_tokens_does_not_matter(factor: float, seed: int) -> None:
    runs = known_runs(noise=0.01, seed=seed, m=2)
    scaled = replace(runs, tokens=runs.tokens * factor)
    for law in ("transfer", "exponential_budget"):
        one, other = fit_law(runs, law), fit_law(scaled, law)
        for before, after in zip(one.estimates, other.estimates, strict=True):
            np.testing.assert_allclose(after.interval, before.interval, rtol=0.01, atol=1e-3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), column=st.integers(0, 2), more=st.floats(1.01, 10))
def test_more_tokens_never_cost(seed: int, column: int, more: float) -> None:
    fit = fit_law(known_runs(noise=0.05, seed=seed))
    tokens = np.random.default_rng(seed).uniform(1e4, 1e6, size=(5, 3))
    increased = tokens.copy()
    increased[:, column] *= more
    assert (fit.predict(increased) <= fit.predict(tokens) + 1e-12).all()


def test_a_source_that_never_joins_a_component_is_not_determined() -> None:
    sets = [chosen for chosen in all_sets(3) if not {0, 2} <= set(chosen)]
    fit = fit_law(known_runs(sets=sets))
    missing = fit.estimate("tau", "a", "c")
    assert np.isnan(missing.interval.value)
    assert missing.reason == "no run was trained on both a and c"
    assert fit.estimate("tau", "a", "b").determined
    predicted = fit.predict(np.array([[1e5, 1e5, 0], [1e5, 1e5, 1e5]]))
    np.testing.assert_allclose(
        predicted[0, :2], law_xe(np.array([[1e5, 1e5, 0]]))[0, :2], atol=1e-4
    )
    assert np.isnan(predicted[1, 0])


def test_sources_that_always_come_together_are_not_told_apart() -> None:
    fit = fit_law(known_runs(sets=[(0,), (0, 1, 2), (1,), (2,)]))
    for source in ("b", "c"):
        estimate = fit.estimate("tau", "a", source)
        assert not estimate.determined
        assert "only together with other parameters" in estimate.reason
    assert fit.estimate("alpha", "a").determined
    # Their sum is known, so what depends on it alone is predicted.
    together, apart = np.array([[2e5, 1e5, 1e5]]), np.array([[2e5, 1e5, 0.0]])
    assert fit.predict(together)[0, 0] == pytest.approx(law_xe(together)[0, 0], abs=1e-4)
    assert np.isnan(fit.predict(apart)[0, 0])


def test_one_budget_leaves_the_exponent_open() -> None:
    fit = fit_law(known_runs(noise=0.01, m=4, budgets=(6e5,)))
    estimate = fit.estimate("alpha", "a")
    assert "limit of the search" in estimate.reason
    assert estimate.interval.low <= ALPHA[0] <= estimate.interval.high


def test_an_open_floor_leaves_the_part_above_it_open() -> None:
    fit = fit_law(known_runs(noise=0.05, m=1, sets=[(0,)], budgets=(1e5, 1.5e5, 2e5, 3e5, 4e5)))
    assert not fit.estimate("E", "a").determined
    assert fit.estimate("A", "a").reason == fit.estimate("E", "a").reason


def test_without_degrees_of_freedom_there_is_no_interval() -> None:
    fit = fit_law(known_runs(m=2, budgets=(1e5, 3e5)))  # 4 runs of each component, 4 parameters
    for estimate in fit.estimates:
        assert np.isnan(estimate.interval.low)
        assert not estimate.determined
    assert "4 runs and 4 parameters" in fit.estimates[0].reason
    assert fit.estimate("tau", "a", "b").interval.value == pytest.approx(0.5, abs=1e-3)


def test_xe_that_does_not_depend_on_tokens_determines_no_transfer() -> None:
    runs = known_runs(m=2)
    flat = replace(runs, xe=np.full_like(runs.xe, 2.0))
    fit = fit_law(flat)
    assert not fit.estimate("tau", "a", "b").determined
    assert not fit.estimate("alpha", "a").determined


def test_standard_errors_weigh_observations() -> None:
    runs = known_runs()
    xe, errors = runs.xe.copy(), np.full(runs.xe.shape, 0.01)
    xe[5], errors[5] = xe[5] + 0.3, 1e4
    plain, weighted = (
        fit_law(replace(runs, xe=xe)),
        fit_law(replace(runs, xe=xe, standard_error=errors)),
    )
    assert np.abs(exchange_matrix(weighted) - TAU[:3, :3]).max() < 1e-3
    assert np.abs(exchange_matrix(plain) - TAU[:3, :3]).max() > 0.05


def test_what_all_runs_share_moves_the_floor_and_not_the_exchange() -> None:
    runs = known_runs(noise=0.001)
    rng = np.random.default_rng(0)
    documents = 0.1 * rng.normal(size=(200, 1, 3))
    noise = 0.003 * rng.normal(size=(200, *runs.xe.shape))
    fit = fit_law(replace(runs, replicates=runs.xe + documents + noise))
    alone = fit_law(runs).estimate("tau", "a", "b").interval
    floor, tau = fit.estimate("E", "a").interval, fit.estimate("tau", "a", "b").interval
    assert floor.standard_error == pytest.approx(0.1, rel=0.2)
    assert floor.low < E[0] < floor.high
    assert alone.standard_error <= tau.standard_error < 0.02
    assert tau.low < 0.5 < tau.high


def runs_on_documents(seed: int, documents: int) -> MixtureRuns:
    """Runs with noise of their own, measured on documents of a that move all runs, and each alone.

    Of a law with 4 parameters there are 10 observations, over tokens that determine its floor well.
    """
    rng = np.random.default_rng(seed)
    runs = known_runs(noise=0.003, seed=seed, m=2, budgets=(1e5, 8e5, 6e6, 5e7, 4e8))
    crossed = 0.02 * rng.normal(size=(documents, len(runs.xe)))
    values = np.nan_to_num(runs.xe[:, 0]) + 0.3 * rng.normal(size=(documents, 1)) + crossed
    clusters = Clusters(values, np.ones(documents), np.zeros(documents, dtype=np.int64))
    xe = np.full((201, *runs.xe.shape), np.nan)
    xe[:, :, 0] = bootstrap_means(clusters, 200, seed)
    xe[:, runs.tokens == 0] = np.nan
    return replace(runs, xe=xe[0], replicates=xe[1:], documents=np.full(2, documents))


def test_an_interval_that_reaches_a_limit_of_the_search_still_does_with_documents() -> None:
    """More degrees of freedom would end it before the limit, so that it would count as known."""
    documents = DocumentVariance(np.full((1, 1), 0.01), np.zeros(1), np.array([1e6]))
    (interval,) = add_documents(
        [Interval(0.0, 0.0, 10.0, 1.16)], 2, documents, (np.zeros(1), np.full(1, 10.0)), 0.95
    )
    assert (interval.low, interval.high) == (0.0, 10.0)


def test_intervals_cover_the_truth_over_documents_too() -> None:
    hits: list[np.ndarray] = []
    hits_without: list[np.ndarray] = []
    for trial in range(50):
        runs = runs_on_documents(trial, documents=5)
        fits = {True: fit_law(runs)}
        if trial < 10:
            fits[False] = fit_law(replace(runs, replicates=None))
        for with_documents, fit in fits.items():
            expected = np.array(truth(fit))[: len(fit.estimates)]
            ends = np.array([estimate.interval for estimate in fit.estimates])
            covered = (ends[:, 1] <= expected + 1e-6) & (expected - 1e-6 <= ends[:, 2])
            (hits if with_documents else hits_without).append(covered)
    coverage = np.mean(hits, axis=0)
    assert coverage.min() >= 0.9
    assert coverage[0] <= 0.99
    # All runs share the documents, so that the scatter of the runs says nothing of the floor, E.
    assert np.mean(hits_without, axis=0)[0] < 0.5


def test_replicates_of_a_single_document_give_no_interval() -> None:
    runs = known_runs()
    fit = fit_law(replace(runs, replicates=np.full((10, *runs.xe.shape), np.nan)))
    assert "two held-out documents" in fit.estimate("tau", "a", "b").reason
    assert fit.estimate("tau", "a", "b").interval.value == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("law", list(LAWS))
def test_derivatives_of_every_law_are_right(law: str) -> None:
    fit = fit_law(known_runs(noise=0.1), law)
    for part in fit.parts:
        theta = part.parameters + 0.05
        slopes = part.problem.evaluate(theta[None])[1][0]
        step = 1e-6 * np.eye(len(theta))
        ahead, behind = (part.problem.evaluate(theta + s)[0] for s in (step, -step))
        np.testing.assert_allclose(slopes.T, (ahead - behind) / 2e-6, rtol=1e-4, atol=1e-6)


def test_runs_that_were_not_trained_on_a_component_are_no_observations() -> None:
    runs = known_runs(m=2)
    zero_shot = np.where(runs.tokens > 0, runs.xe, 9.0)
    fit = fit_law(replace(runs, xe=zero_shot))
    assert fit.estimate("tau", "a", "b").interval.value == pytest.approx(0.5, abs=1e-3)


def test_mistakes_are_told() -> None:
    runs = known_runs(m=2)
    tokens, xe = runs.tokens, runs.xe
    with pytest.raises(ErgokedroError, match=r"analysis.laws = 'quadratic' is unknown"):
        fit_law(runs, "quadratic")
    with pytest.raises(ErgokedroError, match=r"has no parameter 'mixing'"):
        fit_law(runs).estimate("mixing", "a", "b")
    with pytest.raises(ErgokedroError, match=r"nothing to fit"):
        fit_law(replace(runs, xe=np.full_like(xe, np.nan)))
    with pytest.raises(ErgokedroError, match=r"xe has the shape \(9, 1\)"):
        MixtureRuns(("a", "b"), tokens, xe[:, :1])
    with pytest.raises(ErgokedroError, match=r"replicates has the shape \(9, 1\)"):
        MixtureRuns(("a", "b"), tokens, xe, replicates=np.ones((5, 9, 1)))
    with pytest.raises(ErgokedroError, match=r"documents has the shape \(9, 3\)"):
        MixtureRuns(("a", "b"), tokens, xe, documents=np.ones(3))
    with pytest.raises(ErgokedroError, match=r"tokens must be finite and not negative"):
        MixtureRuns(("a", "b"), -tokens, xe)
    with pytest.raises(ErgokedroError, match=r"standard_error must be positive"):
        MixtureRuns(("a", "b"), tokens, xe, standard_error=np.zeros_like(xe))
    with pytest.raises(ErgokedroError, match=r"component = 'z'"):
        runs.column("z")
