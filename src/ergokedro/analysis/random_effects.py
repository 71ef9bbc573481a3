"""Intervals for means over tokens when draws of the training text, seeds and documents are chance.

A value y_rsd is a document's mean NLL (or its difference between two models, paired by window)
under the model that was trained on draw r of the training text with seed s of that draw. In
component c

    y_rsd = mean_c + draw_r + seed_rs + document_d + (document:draw)_dr + (document:seed)_drs,

all but mean_c random with expectation zero. Seeds are nested in draws: every draw has its own.
Documents are crossed with draws and seeds (crossed random effects: Baayen, Davidson and Bates 2008,
Mixed-effects modeling with crossed random effects for subjects and items), and nested in
components. Effects of draws and seeds may differ between components: only their mean over the
components enters. The estimate is the mean of the mean_c, every component weighing the same; within
a component a document weighs by its number of tokens, as in :mod:`ergokedro.analysis.bootstrap`.

**Documents.** A component's mean is a ratio estimator. With v_d a document's share of the tokens
and y_d its mean over the runs, its variance is estimated by

    T = sum_d v_d^2 (y_d - mean)^2 / (1 - v_d),   df = 1 / ((sum_d w_d)^2 + sum_d v_d^2 - w_d^2),

w_d = v_d^2 / (1 - v_d): the leverage correction HC2 of MacKinnon and White 1985 with the degrees
of freedom of Bell and McCaffrey 2002 (Bias reduction in standard errors for linear regression with
multi-stage samples), both under independent tokens of equal variance. For n documents of equal
length, T is their variance / n with df = n - 1.

**Runs.** See :mod:`ergokedro.analysis.run_layout`; the same spread of the documents' influences
v_d (y_rsd - mean_rs) / sqrt(1 - v_d) gives the variances of documents crossed with draws and seeds.
**Together.** See :mod:`ergokedro.analysis.combined_variance`.

With one draw, or one run, its variance cannot be estimated, and the interval is conditional on it:
it speaks of models that are trained on this draw. With several draws of one seed each, the variance
of draws holds that of seeds.

Coverage of 95 % intervals in simulations (tests/analysis/test_random_effects.py; 4 to 60 documents
per component, 1 or 3 components, documents of 1 to 20 tokens): 94 to 97 % where documents, draws or
seeds dominate, also with two or three draws of one seed each; up to 98.5 % where several of them
matter alike with few draws and documents. Up to 99.8 % where all chance is that of single documents
under single runs: it is then counted as the runs' and as the documents', and few runs cannot tell
that it is the same.
Skewed documents (exponential) cost 2 to 4 points with 4 to 20 documents, as with any Student's t.
Two draws give wide intervals where they matter: Student's quantile with one degree of freedom is
12.7.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.combined_variance import Part, combine, half_width
from ergokedro.analysis.run_layout import RunLayout, Spread

_NAN = float("nan")
_TAIL = 0.975  # beyond a 95 % interval, on each side
# Values of runs and documents that are reduced at a time: bounds the memory for many quantities.
_BLOCK = 2**22


@dataclass(frozen=True)
class Observations:
    """Sums by run and document.

    Attributes
    ----------
    sums : float64 (m, runs, documents), sum of each of m quantities over the document's tokens.
    counts : float64 (documents,), number of tokens behind each of its sums.
    strata : int64 (documents,), the component of each document.
    draws : int64 (runs,), the draw of each run; runs of the same draw have different seeds.
    """

    sums: np.ndarray
    counts: np.ndarray
    strata: np.ndarray
    draws: np.ndarray


def observe(
    values: np.ndarray,
    documents: np.ndarray,
    strata: np.ndarray,
    draws: np.ndarray,
    counts: np.ndarray | None = None,
) -> Observations:
    """Sum window values by document.

    Parameters
    ----------
    values : (runs, windows), or (m, runs, windows) for m quantities.
    documents : (windows,), any ids.
    strata : (windows,), int; the same for all windows of a document.
    draws : (runs,), any ids; runs of the same draw have different seeds.
    counts : (windows,), positive: what the mean is over, such as the window's tokens or bytes, of
        which `values` are then the sums. Default: each window counts once.
    """
    _, first, index = np.unique(documents, return_index=True, return_inverse=True)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(first)))
    values = values.reshape(-1, *values.shape[-2:])
    sums = np.add.reduceat(values[..., order], starts, axis=-1, dtype=np.float64)
    totals = np.bincount(index, weights=counts, minlength=len(first)).astype(np.float64)
    return Observations(sums, totals, strata[first], draws)


class VarianceComponent(NamedTuple):
    """One source of chance.

    Attributes
    ----------
    name : draws, seeds, documents, or an interaction of them, such as documents:draws.
    stratum : the component of the documents; -1 for what concerns the mean over the components.
    levels : how many draws, seeds, documents, or pairs of them, were observed.
    variance : of the effect of a single level, nats^2; unbiased, so it may be negative.
    contribution : to the variance of the estimate, nats^2; may be negative, too.
    """

    name: str
    stratum: int
    levels: int
    variance: float
    contribution: float


class SampleSize(NamedTuple):
    """How much was observed, or is to be observed.

    Attributes
    ----------
    draws : number of draws.
    seeds : of every draw.
    documents : held-out documents per component.
    components : number of components that the mean is over.
    """

    draws: int
    seeds: int
    documents: int
    components: int = 1


@dataclass(frozen=True)
class Estimate:
    """A mean with its Student's t interval.

    Attributes
    ----------
    value, low, high, standard_error : nats; NaN but for the value where there is no interval.
    degrees_of_freedom : effective, of the test's Student's t.
    components : where the variance comes from. Contributions add up to the squared standard error
        unless that would be less than the variance over runs, or over documents, alone.
    size : how much was observed; documents are the mean over the components.
    interval_scale : the interval is that of Student's t, with its half width times this number, see
        :mod:`ergokedro.analysis.combined_variance`: tests at small levels are more careful.
    """

    value: float
    low: float
    high: float
    standard_error: float
    degrees_of_freedom: float
    components: tuple[VarianceComponent, ...]
    size: SampleSize
    interval_scale: float = 1.0

    @property
    def interval(self) -> Interval:
        """Value, bounds and standard error."""
        return Interval(self.value, self.low, self.high, self.standard_error)

    @property
    def p_value(self) -> float:
        """Two-sided, of the hypothesis that the mean is zero."""
        if self.standard_error == 0:
            return float(self.value == 0)
        return float(2 * stdtr(self.degrees_of_freedom, -abs(self.value) / self.standard_error))

    def at(self, confidence: float) -> Estimate:
        """The same estimate with intervals of another confidence."""
        quantile = stdtrit(self.degrees_of_freedom, (1 + confidence) / 2)
        half = quantile * self.standard_error * self.interval_scale
        return replace(self, low=float(self.value - half), high=float(self.value + half))


def estimate_means(observations: Observations, confidence: float = 0.95) -> list[Estimate]:
    """Means of the m quantities, with intervals that hold the chance of all that was repeated.

    A stratum with a single document says nothing of its spread: then there is no interval.
    """
    layout = RunLayout(observations.draws)
    step = max(1, _BLOCK // observations.sums[0].size)
    estimates = []
    for start in range(0, len(observations.sums), step):
        block = replace(observations, sums=observations.sums[start : start + step])
        moments = _moments(block, layout)
        estimates += [_estimate(moments, index) for index in range(len(moments.means))]
    return [estimate.at(confidence) for estimate in estimates]


@dataclass(frozen=True)
class _Moments:
    """What the estimates are made from; S strata, m quantities.

    Attributes
    ----------
    layout : of the runs.
    means : float64 (m,), the estimates.
    runs : spread of the runs' estimates, (m, 1) each.
    crossed : that of the documents' influences on the estimate, by stratum, (m, S) each.
    document_variances : float64 (m, S), part T of every stratum.
    document_df : float64 (S,).
    squared_weights : float64 (S,), sum of the squared weights of the stratum's documents.
    documents : int64 (S,), number of documents.
    strata : int64 (S,), their numbers.
    """

    layout: RunLayout
    means: np.ndarray
    runs: Spread
    crossed: Spread
    document_variances: np.ndarray
    document_df: np.ndarray
    squared_weights: np.ndarray
    documents: np.ndarray
    strata: np.ndarray


def _moments(observations: Observations, layout: RunLayout) -> _Moments:
    """Reduce the observations to variances."""
    strata, stratum = np.unique(observations.strata, return_inverse=True)
    members = (stratum[:, None] == np.arange(len(strata))).astype(np.float64)
    shares = observations.counts / (members.T @ observations.counts)[stratum]
    run_means = observations.sums * (shares / observations.counts) @ members
    influences = _influences(observations, shares, run_means[..., stratum]) / len(strata)
    estimates = run_means.mean(axis=2, keepdims=True)
    return _Moments(
        layout=layout,
        means=layout.means(estimates).mean(axis=(1, 2)),
        runs=layout.spread(estimates),
        crossed=Spread(*(part @ members for part in layout.spread(influences))),
        document_variances=layout.means(influences).mean(axis=1) ** 2 @ members,
        document_df=_document_df(shares, members),
        squared_weights=(shares / len(strata)) ** 2 @ members,
        documents=members.sum(axis=0).astype(np.int64),
        strata=strata,
    )


def _influences(observations: Observations, shares: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Weighted residuals of the documents, corrected for leverage: float64 (m, runs, documents)."""
    residuals = observations.sums / observations.counts - means
    with np.errstate(divide="ignore"):
        scale = np.where(shares < 1, shares / np.sqrt(1 - shares), _NAN)
    return residuals * scale


def _document_df(shares: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the variance over documents, by stratum: float64 (S,)."""
    with np.errstate(divide="ignore"):
        weights = np.where(shares < 1, shares**2 / (1 - shares), _NAN)
    return 1 / ((weights @ members) ** 2 + (shares**2 - weights**2) @ members)


def _estimate(moments: _Moments, index: int) -> Estimate:
    """The estimate of one quantity, without bounds."""
    layout = moments.layout
    mean_documents = round(float(moments.documents.mean()))
    documents = [
        Part(float(variance), float(df))
        for variance, df in zip(moments.document_variances[index], moments.document_df, strict=True)
    ]
    variance, df, scale = _NAN, _NAN, 1.0
    if not np.isnan(moments.document_variances[index]).any():
        runs = Part(float(moments.runs.of_mean[index, 0]), layout.n_units - 1)
        overlap = float(moments.crossed.of_mean[index].sum())
        variance, df = combine(runs, overlap, documents)
        if variance > 0:
            width = half_width(runs, overlap, documents)
            scale = width / float(np.sqrt(variance) * stdtrit(df, _TAIL))
    return Estimate(
        value=float(moments.means[index]),
        low=_NAN,
        high=_NAN,
        standard_error=float(np.sqrt(variance)),
        degrees_of_freedom=df,
        components=(*_run_components(moments, index), *_document_components(moments, index)),
        size=SampleSize(layout.n_draws, layout.n_seeds, mean_documents, len(moments.strata)),
        interval_scale=scale,
    )


def _run_components(moments: _Moments, index: int) -> list[VarianceComponent]:
    """Of draws and seeds, less what documents crossed with runs contribute to their spread."""
    own = [
        float(runs[index, 0] - crossed[index].sum())
        for runs, crossed in zip(moments.runs, moments.crossed, strict=True)
    ]
    return [
        VarianceComponent(c.name, -1, c.levels, c.variance, c.variance * c.weight)
        for c in moments.layout.components(*own)
    ]


def _document_components(moments: _Moments, index: int) -> list[VarianceComponent]:
    """Of documents in every stratum, without what they have of the runs' chance; and of documents
    crossed with runs, over all strata."""
    own = moments.document_variances[index] - moments.crossed.of_mean[index]
    documents = [
        VarianceComponent("documents", stratum, levels, part / weights, part)
        for stratum, levels, part, weights in zip(
            moments.strata.tolist(),
            moments.documents.tolist(),
            own.tolist(),
            moments.squared_weights.tolist(),
            strict=True,
        )
    ]
    count, weights = int(moments.documents.sum()), float(moments.squared_weights.sum())
    crossed = (float(part[index].sum()) for part in moments.crossed)
    return documents + [
        VarianceComponent(
            f"documents:{c.name}", -1, c.levels * count, c.variance / weights, c.variance * c.weight
        )
        for c in moments.layout.components(*crossed)
    ]
