"""Inference over draws, seeds and documents: textbook values, coverage, and what is not known."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.stats import chi2, norm, qmc, t

from ergokedro.analysis.bootstrap import Clusters, bootstrap_means, cluster, intervals
from ergokedro.analysis.combined_variance import Part, combine, half_width
from ergokedro.analysis.power import Variances
from ergokedro.analysis.random_effects import (
    Estimate,
    Observations,
    SampleSize,
    estimate_means,
    observe,
)
from simulated_runs import simulate

DOCUMENTS = Variances(documents=1.0)
# Paired differences in practice: documents differ in the effect, and runs by chance.
TYPICAL = Variances(
    draws=0.02, seeds=0.02, documents=1.0, documents_draws=0.1, documents_seeds=0.25
)
DRAWS = Variances(draws=1.0, documents=0.2, documents_seeds=0.1)
SEEDS = Variances(seeds=1.0, documents=0.2, documents_seeds=0.1)
EQUAL = Variances(draws=0.1, documents=1.0, documents_draws=0.1, documents_seeds=0.2)
# All chance is that of a single document under a single run.
NOISE = Variances(documents_seeds=1.0)


def estimates(
    variances: Variances, size: SampleSize, trials: int = 1500, layouts: int = 5, seed: int = 0
) -> tuple[list[Estimate], np.ndarray]:
    """Estimates and truths; documents have 1 to 20 tokens, others in each of `layouts`."""
    rng = np.random.default_rng(seed)
    results: list[Estimate] = []
    truths = []
    for _ in range(layouts):
        counts = rng.integers(1, 21, size=size.documents * size.components)
        observations, truth = simulate(rng, variances, size, trials // layouts, counts)
        results += estimate_means(observations)
        truths.append(truth)
    return results, np.concatenate(truths)


def coverage(results: list[Estimate], truth: np.ndarray) -> float:
    """Share of the intervals that hold the truth."""
    low, high = np.array([(e.low, e.high) for e in results]).T
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("documents", [4, 6, 10, 20])
def test_intervals_cover_with_few_documents(documents: int, components: int) -> None:
    results = estimates(DOCUMENTS, SampleSize(1, 1, documents, components), 3000, 10)
    assert 0.93 <= coverage(*results) <= 0.97


def test_percentile_bootstrap_covers_too_seldom_with_four_documents() -> None:
    observations, truth = simulate(np.random.default_rng(1), DOCUMENTS, SampleSize(1, 1, 4), 2000)
    clusters = Clusters(observations.sums[:, 0].T, observations.counts, observations.strata)
    low, high = np.array(intervals(bootstrap_means(clusters, 500, 0), 0.95)).T[1:3]
    assert np.mean((low <= truth) & (truth <= high)) < 0.85
    assert 0.93 <= coverage(estimate_means(observations), truth) <= 0.97


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize(("documents", "components"), [(4, 1), (20, 1), (10, 3)])
@pytest.mark.parametrize("variances", [DOCUMENTS, DRAWS, SEEDS], ids=["docs", "draws", "seeds"])
def test_intervals_cover_with_three_draws(
    variances: Variances, documents: int, components: int, seeds: int
) -> None:
    results = estimates(variances, SampleSize(3, seeds, documents, components))
    assert 0.92 <= coverage(*results) <= 0.975


@pytest.mark.parametrize(("documents", "components"), [(4, 1), (10, 1), (20, 3)])
@pytest.mark.parametrize("variances", [EQUAL, TYPICAL, NOISE], ids=["equal", "typical", "noise"])
def test_intervals_cover_where_several_sources_of_chance_matter_alike(
    variances: Variances, documents: int, components: int
) -> None:
    """Three draws of two seeds; a standard error of 1,500 trials is 0.6 %."""
    results = estimates(variances, SampleSize(3, 2, documents, components))
    assert 0.925 <= coverage(*results) <= 0.985


@pytest.mark.parametrize("variances", [EQUAL, TYPICAL], ids=["equal", "typical"])
def test_intervals_err_on_the_wide_side_with_two_draws(variances: Variances) -> None:
    results = estimates(variances, SampleSize(2, 1, 20, 3))
    assert 0.93 <= coverage(*results) <= 0.985


@pytest.mark.parametrize("size", [SampleSize(8, 3, 10, 3), SampleSize(12, 1, 30, 1)])
@pytest.mark.parametrize("variances", [DRAWS, EQUAL, TYPICAL], ids=["draws", "equal", "typical"])
def test_intervals_cover_with_more_draws(variances: Variances, size: SampleSize) -> None:
    assert 0.93 <= coverage(*estimates(variances, size)) <= 0.97


@pytest.mark.parametrize("size", [SampleSize(1, 1, 10, 3), SampleSize(1, 4, 10, 3)])
def test_with_one_draw_or_run_the_interval_is_conditional_on_it(size: SampleSize) -> None:
    variances = replace(TYPICAL, draws=1.0, seeds=0.5)
    results, truth = estimates(variances, size)
    assert truth.std() > 0.9
    assert 0.93 <= coverage(results, truth) <= 0.97
    # Other draws are another matter: hence the columns that say how many there were.
    assert coverage(results, np.zeros_like(truth)) < 0.7
    assert not {"draws", "documents:draws"} & {c.name for c in results[0].components}


@pytest.mark.parametrize(
    ("variances", "size"),
    [
        (DRAWS, SampleSize(3, 2, 20, 1)),
        (SEEDS, SampleSize(5, 2, 20, 1)),
        (DOCUMENTS, SampleSize(3, 2, 6, 3)),
        (TYPICAL, SampleSize(6, 2, 10, 3)),
    ],
)
def test_null_contrasts_are_rejected_at_the_nominal_rate(
    variances: Variances, size: SampleSize
) -> None:
    """The difference of two models that are equal but for chance."""
    results, _ = estimates(variances, size, seed=1)
    p_values = np.array([e.p_value for e in results])
    assert 0.025 <= np.mean(p_values <= 0.05) <= 0.075
    outside = np.array([e.low > 0 or e.high < 0 for e in results])
    assert 0.025 <= outside.mean() <= 0.075
    assert not (~outside & (p_values < 0.05)).any()  # no interval is wider than its test


def test_the_interval_is_as_written() -> None:
    """Three draws: V = 3, T = 2 and O = 0.5; and V = 1.5 where all may be the same O = 1.8."""
    runs, documents = Part(3.0, 2), [Part(0.5, 9), Part(1.5, 9)]
    df = 4 / (0.25 / 9 + 2.25 / 9)  # of T
    share = df / (2 * df + 12)
    quantiles = t.ppf(0.975, [2, df, 2 * df])
    weighted = (3 * quantiles[0] + 2 * quantiles[1] - 0.5 * quantiles[2]) / 4.5
    satterthwaite = t.ppf(0.975, 4.5**2 / (9 / 2 + 4 / df + 0.25 / (2 * df)))
    expected = np.sqrt(4.5) * (share * weighted + (1 - share) * satterthwaite)
    assert half_width(runs, 0.5, documents) == pytest.approx(expected)
    tested, freedom = combine(runs, 0.5, documents)
    assert expected < np.sqrt(tested) * t.ppf(0.975, freedom)
    pooled = (2 * 1.5 + df * 2 + 2 * df * 1.8) / (2 + 3 * df)  # more than 1.5 + 2 - 1.8
    alike, alone = np.sqrt(pooled) * t.ppf(0.975, 2 + 3 * df), np.sqrt(1.5) * t.ppf(0.975, 2)
    expected = share * alike + (1 - share) * alone
    assert half_width(Part(1.5, 2), 1.8, documents) == pytest.approx(expected)


def test_no_interval_is_wider_than_its_test() -> None:
    for variance, df in ((2.0, 1), (0.1, 1), (3.0, 2), (0.2, 2), (1.0, 9)):
        runs, documents = Part(variance, df), [Part(1.0, 3)]
        tested, freedom = combine(runs, 0.5, documents)
        of_test = np.sqrt(tested) * t.ppf(0.975, freedom)
        assert half_width(runs, 0.5, documents) <= of_test + 1e-12
    alone = Part(0.0, 0)  # a single run
    assert half_width(alone, 0.0, [Part(2.0, 5)]) == pytest.approx(np.sqrt(2) * t.ppf(0.975, 5))


def textbook_variances(values: np.ndarray) -> dict[str, float]:
    """Of documents crossed with seeds nested in draws, from the mean squares (Searle et al.).

    Parameters
    ----------
    values : (draws, seeds, documents), complete, one value per cell.
    """
    draws, seeds, documents = values.shape
    of_draws = values.mean(axis=1, keepdims=True)
    of_runs = values.mean(axis=2, keepdims=True)
    of_documents = values.mean(axis=(0, 1), keepdims=True)
    both = values.mean(axis=(1, 2), keepdims=True)
    mean = values.mean()
    squares = {
        "draws": seeds * documents * ((both - mean) ** 2).sum() / (draws - 1),
        "seeds": documents * ((of_runs - both) ** 2).sum() / (draws * (seeds - 1)),
        "documents": draws * seeds * ((of_documents - mean) ** 2).sum() / (documents - 1),
        "documents:draws": seeds * ((of_draws - both - of_documents + mean) ** 2).sum()
        / ((draws - 1) * (documents - 1)),
        "documents:seeds": ((values - of_draws - of_runs + both) ** 2).sum()
        / (draws * (seeds - 1) * (documents - 1)),
    }  # fmt: skip
    last, crossed = squares["documents:seeds"], squares["documents:draws"]
    return {
        "draws": (squares["draws"] - squares["seeds"] - crossed + last) / (seeds * documents),
        "seeds": (squares["seeds"] - last) / documents,
        "documents": (squares["documents"] - crossed) / (draws * seeds),
        "documents:draws": (crossed - last) / seeds,
        "documents:seeds": last,
    }


def nested_values(rng: np.random.Generator, draws: int, seeds: int, documents: int) -> np.ndarray:
    """(draws, seeds, documents), with all five variances well above zero."""
    shape = (draws, seeds, documents)
    values = np.ones(shape)
    for spread, axes in zip(
        (0.3, 0.15, 0.4, 0.2, 0.2), [(0,), (0, 1), (2,), (0, 2), (0, 1, 2)], strict=True
    ):
        levels = [shape[axis] if axis in axes else 1 for axis in range(3)]
        values = values + spread * rng.normal(size=levels)
    return values


def estimate_of(values: np.ndarray) -> Estimate:
    """The estimate from (draws, seeds, documents) in one component, documents of equal length."""
    draws, seeds, documents = values.shape
    windows = np.repeat(values.reshape(draws * seeds, documents), 3, axis=1)
    ids = np.repeat(np.arange(documents), 3)
    (estimate,) = estimate_means(
        observe(windows, ids, np.zeros_like(ids), np.repeat(np.arange(draws), seeds))
    )
    return estimate


def test_variance_components_are_those_of_the_analysis_of_variance() -> None:
    values = nested_values(np.random.default_rng(4), 4, 3, 7)
    estimate = estimate_of(values)
    expected = textbook_variances(values)
    variances = {c.name: c.variance for c in estimate.components}
    assert variances == pytest.approx(expected)
    levels = {c.name: c.levels for c in estimate.components}
    counts = {"draws": 4, "seeds": 12, "documents": 7, "documents:draws": 28, "documents:seeds": 84}
    assert levels == counts
    total = sum(c.contribution for c in estimate.components)
    assert total == pytest.approx(sum(expected[name] / levels[name] for name in expected))
    assert min(expected.values()) > 0
    assert estimate.standard_error == pytest.approx(np.sqrt(total))
    assert estimate.value == pytest.approx(values.mean())


def test_variance_components_agree_with_a_mixed_model() -> None:
    """Restricted maximum likelihood of statsmodels, which is equal on balanced complete data."""
    values = nested_values(np.random.default_rng(3), 6, 4, 10)
    draw, seed, document = (index.ravel() for index in np.indices(values.shape))
    table = pd.DataFrame(
        {
            "value": values.ravel(), "draws": draw, "seeds": 4 * draw + seed,
            "documents": document, "documentsdraws": 10 * draw + document, "all": 1,
        }
    )  # fmt: skip
    terms = ("draws", "seeds", "documents", "documentsdraws")
    model = smf.mixedlm(
        "value ~ 1", table, groups="all", vc_formula={name: f"0 + C({name})" for name in terms}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(reml=True)
    estimate = estimate_of(values)
    variances = {c.name.replace(":", ""): c.variance for c in estimate.components}
    expected = dict(zip(model.exog_vc.names, fit.vcomp, strict=True))
    expected["documentsseeds"] = fit.scale
    assert min(expected.values()) > 0.003
    assert variances == pytest.approx(expected, rel=0.01)
    assert estimate.standard_error == pytest.approx(float(fit.bse.iloc[0]), rel=0.01)


def test_variance_components_are_unbiased_where_runs_are_missing() -> None:
    """Eight of nine runs, three seeds in each of three draws."""
    size = SampleSize(3, 3, 5, 2)
    variances = replace(TYPICAL, draws=1.0, seeds=0.5)
    observations, _ = simulate(np.random.default_rng(0), variances, size, 4000)
    kept = np.arange(8)
    results = estimate_means(
        replace(observations, sums=observations.sums[:, kept], draws=observations.draws[kept])
    )
    names = [c.name for c in results[0].components]
    means = np.mean([[c.variance for c in e.components] for e in results], axis=0)
    averages = dict(zip(names, means, strict=True))
    assert averages["draws"] == pytest.approx(1.0, abs=0.1)
    assert averages["seeds"] == pytest.approx(0.5, abs=0.05)
    assert averages["documents"] == pytest.approx(1.0, abs=0.1)
    assert coverage(results, np.zeros(len(results))) >= 0.93


def test_draws_of_one_seed_each_hold_the_chance_of_seeds() -> None:
    size = SampleSize(6, 1, 20, 1)
    variances = Variances(draws=0.5, seeds=1.0, documents=0.2, documents_seeds=0.2)
    results, truth = estimates(variances, size)
    assert 0.93 <= coverage(results, truth) <= 0.97
    names = [c.name for c in results[0].components]
    assert names == ["draws", "documents", "documents:draws"]
    means = np.mean([[c.variance for c in e.components] for e in results], axis=0)
    assert means[0] == pytest.approx(1.5, abs=0.1)


def test_the_value_is_that_of_the_bootstrap_and_its_error_agrees() -> None:
    rng = np.random.default_rng(0)
    documents = np.sort(rng.integers(0, 120, size=2000))
    strata = documents // 40
    values = rng.normal(size=2000) + rng.normal(size=120)[documents] + strata
    (estimate,) = estimate_means(observe(values[None], documents, strata, np.zeros(1, int)))
    means = bootstrap_means(cluster(values[:, None], documents, strata), 4000, 0)
    (expected,) = intervals(means, 0.95)
    assert estimate.value == pytest.approx(expected.value)
    assert estimate.standard_error == pytest.approx(expected.standard_error, rel=0.06)
    assert [c.stratum for c in estimate.components] == [0, 1, 2]
    assert [c.levels for c in estimate.components] == [40, 40, 40]


def test_the_order_of_windows_and_runs_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 6, 60)).astype(np.float32)
    documents = rng.integers(0, 12, size=60)
    strata = documents % 3
    draws = np.repeat(np.arange(3), 2)
    windows, runs = rng.permutation(60), rng.permutation(6)
    first = estimate_means(observe(values, documents, strata, draws))
    other = estimate_means(
        observe(values[:, runs][..., windows], documents[windows], strata[windows], draws[runs])
    )
    for one, two in zip(first, other, strict=True):
        assert one.interval == pytest.approx(two.interval)
        assert one.degrees_of_freedom == pytest.approx(two.degrees_of_freedom)


def test_few_long_documents_count_as_few() -> None:
    """Two documents hold nearly all tokens: they decide, however many short ones there are."""
    counts = np.array([100.0, 100.0] + [1.0] * 20)
    sums = counts * np.random.default_rng(0).normal(size=22)
    strata, one = np.zeros(22, int), np.zeros(1, int)
    (estimate,) = estimate_means(Observations(sums[None, None], counts, strata, one))
    assert estimate.degrees_of_freedom < 2


def test_one_document_in_a_stratum_has_a_mean_but_no_interval() -> None:
    values = np.ones((6, 5))
    documents, strata = np.array([1, 1, 2, 3, 3]), np.array([0, 0, 0, 1, 1])
    (estimate,) = estimate_means(observe(values, documents, strata, np.repeat(np.arange(3), 2)))
    assert estimate.value == 1
    assert np.isnan(estimate.interval[1:]).all()
    assert np.isnan(estimate.p_value)


def test_equal_values_have_no_spread() -> None:
    draws, ids = np.repeat(np.arange(3), 2), np.arange(8)
    for value, p_value in ((0.0, 1.0), (2.5, 0.0)):
        (estimate,) = estimate_means(observe(np.full((6, 8), value), ids, ids // 4, draws))
        assert estimate.interval == pytest.approx((value, value, value, 0))
        assert estimate.p_value == p_value


def coverages(draws: int, documents: int, steps: int, log2_cases: int = 8) -> np.ndarray:
    """Coverage for all proportions of the variances of runs, of documents and of both together.

    Mean squares at quasi-random points of their distributions; the normal mean is integrated over.
    Of 256 points, coverages differ by at most 0.2 % from those of 12,000.
    """
    freedom = np.array([draws - 1, documents - 1, (draws - 1) * (documents - 1)])
    points = qmc.Sobol(3, seed=0).random_base2(log2_cases)
    squares = chi2.ppf(points, freedom) / freedom
    covered = []
    for of_runs, of_documents in ((i, j) for i in range(steps + 1) for j in range(steps + 1 - i)):
        both = max(steps - of_runs - of_documents, 1e-6)
        cases = squares * (of_runs + both, of_documents + both, both)
        widths = [
            half_width(Part(v, freedom[0]), o, [Part(d, freedom[1])]) for v, d, o in cases.tolist()
        ]
        error = np.sqrt(of_runs + of_documents + both)
        covered.append(np.mean(2 * norm.cdf(np.array(widths) / error) - 1))
    return np.array(covered)


@pytest.mark.parametrize(
    ("draws", "documents", "low", "high"),
    [(3, 4, 0.93, 0.97), (3, 10, 0.93, 0.97), (3, 20, 0.93, 0.97), (5, 10, 0.93, 0.97),
     (2, 4, 0.93, 0.99), (2, 20, 0.93, 0.99)],
)  # fmt: skip
def test_intervals_cover_whatever_the_proportions(
    draws: int, documents: int, low: float, high: float
) -> None:
    """On proportions in steps of 1/6."""
    covered = coverages(draws, documents, 6)
    assert low - 0.002 <= covered.min()
    assert covered.max() <= high + 0.002


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draws", "documents", "low", "high"),
    [(3, 4, 0.945, 0.974), (3, 6, 0.93, 0.97), (3, 20, 0.93, 0.97), (3, 250, 0.925, 0.97),
     (4, 58, 0.93, 0.97), (8, 4, 0.93, 0.97), (2, 250, 0.93, 0.98)],
)  # fmt: skip
def test_intervals_cover_at_proportions_that_they_were_not_chosen_on(
    draws: int, documents: int, low: float, high: float
) -> None:
    covered = coverages(draws, documents, 11, 10)
    assert low - 0.001 <= covered.min()
    assert covered.max() <= high + 0.001
