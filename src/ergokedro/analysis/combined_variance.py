"""The variance of a mean over runs and documents, and the Student's t distribution it goes with.

Let V be the estimated variance of the mean over the runs, and T its estimated variance over
documents, from the documents' means over the runs. What a document has of a run's chance is in
both; call it O (documents crossed with runs). Then

    variance = V + T - O, and not less than V or T, which O cannot exceed in expectation.

The same difference of mean squares is the unbiased estimate in the crossed analysis of variance
(Searle, Casella and McCulloch 1992, Variance components, chapter 4).

Degrees of freedom are Satterthwaite's (1946, An approximate distribution of estimates of variance
components): variance^2 / sum_k part_k^2 / df_k. Where two to four draws or seeds matter, this
covers too seldom (down to 88 % for 95 % in simulations, and families are wrong in 8 % of cases): V
with one to three degrees of freedom is often far too small by chance, and then counts little. So
Student's quantile is, if this is larger, the mean of the quantiles of V and of the rest, weighted
by them (Cochran 1964, Approximate significance levels of the Behrens-Fisher test). With two degrees
of freedom or more, what documents crossed with runs account for belongs to the rest, as their
variance is known with more degrees of freedom; with one it does not, since that covers too seldom
again (90 %). Where several parts matter alike, this errs on the wide side.

That is needed for tests at the small levels of a family. At 95 % it is too wide (98 to 99.7 % where
V is not much larger than O), so intervals have a length of their own, from two approximations each
of which is known to err where the other does not:

- Where V + T - O is not less than the mean of V, T and O weighted by their degrees of freedom, it
  is the variance. Satterthwaite's quantile covers too seldom where V is much larger than T, and

      (V t_V + T t_T - O t_O) / (V + T - O)

  too often where they are alike (Milliken and Johnson 2009, Analysis of messy data 1, chapter 20;
  Burdick, Borror and Montgomery 2005, Design and analysis of gauge R&R studies). The quantile is
  1 - h times the former and h times the latter.
- Where it is less, either all three are estimates of the same O, so that the weighted mean is the
  variance, with the sum of their degrees of freedom; or V is small by chance, so that only the
  interval of the runs alone, sqrt(V) t_V, is wide enough. The half width is h times the former and
  1 - h times the latter.

The weight h = df_T / (2 df_T + 12) was chosen, by quadrature, for 95 % with three draws: documents
that are few need less of what errs on the wide side. With two draws it is 3/4 for the quantiles and
1/4 for the widths. What was chosen on, and other cases, are in docs/measurement.md. At smaller
levels these intervals would be wrong too often. An interval is never wider than by the test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtridf, stdtrit

# With so few degrees of freedom the variance over runs enters the quantile by its share.
_FEW = 3
# h of the module's text: tends to 1/2 with many documents, and is half of that with six.
_FEW_DOCUMENTS = 6
# Effective degrees of freedom are those whose 97.5 % quantile of Student's t is the combined one.
_TAIL = 0.975
_LARGEST_DF = 1e6


class Part(NamedTuple):
    """A part of the variance of an estimate, and the degrees of freedom of its estimate."""

    variance: float
    df: float


def combine(runs: Part, overlap: float, documents: list[Part]) -> Part:
    """Variance of the estimate and its effective degrees of freedom.

    Parameters
    ----------
    runs : V; no degrees of freedom with a single run.
    overlap : O.
    documents : T of every component.
    """
    of_documents = sum(part.variance for part in documents)
    variance = max(runs.variance + of_documents - overlap, runs.variance, of_documents)
    if variance <= 0:
        return Part(0.0, max(sum(part.df for part in documents), 1.0))
    noise = sum(part.variance**2 / part.df for part in documents)
    if runs.variance > 0:
        noise += runs.variance**2 / runs.df
    satterthwaite = float(max(variance**2 / noise, 1.0))
    if runs.variance <= 0 or runs.df > _FEW:
        return Part(variance, satterthwaite)
    share = runs.variance
    if runs.df > 1:
        share = max(runs.variance - overlap, 0.0)
    rest = max(variance - share, 0.0)
    noise_of_rest = noise - runs.variance**2 / runs.df
    df_of_rest = max(rest**2 / noise_of_rest, 1.0) if noise_of_rest > 0 else _LARGEST_DF
    quantile = (share * _quantile(runs.df) + rest * _quantile(df_of_rest)) / (share + rest)
    mixed = float(np.clip(stdtridf(_TAIL, quantile), 1.0, _LARGEST_DF))
    return Part(variance, min(satterthwaite, mixed))


def half_width(runs: Part, overlap: float, documents: list[Part]) -> float:
    """Half of the 95 % interval; parameters as of :func:`combine`."""
    variance, df = combine(runs, overlap, documents)
    of_test = float(np.sqrt(variance)) * _quantile(df)
    total = sum(part.variance for part in documents)
    if runs.df < 1 or total <= 0:
        return of_test
    return min(of_test, _shorter(runs, overlap, documents, total))


def _shorter(runs: Part, overlap: float, documents: list[Part], total: float) -> float:
    """Half of the interval with two draws or seeds at least; `total` is T of all components."""
    df_of_documents = total**2 / sum(part.variance**2 / part.df for part in documents)
    parts = [
        (runs.variance, runs.df),
        (total, df_of_documents),
        (overlap, runs.df * df_of_documents),
    ]
    variances, freedom = np.array(parts).T
    of_quantiles = of_widths = df_of_documents / (2 * (df_of_documents + _FEW_DOCUMENTS))
    if runs.df == 1:
        of_quantiles, of_widths = 0.75, 0.25
    pooled = float(variances @ freedom / freedom.sum())
    variance = runs.variance + total - overlap
    if variance < pooled:
        alike = np.sqrt(pooled) * _quantile(freedom.sum())
        alone = np.sqrt(runs.variance) * _quantile(runs.df)
        return float(of_widths * alike + (1 - of_widths) * alone)
    weights = np.array([1, 1, -1]) * variances / variance
    weighted = weights @ [_quantile(df) for df in freedom]
    satterthwaite = _quantile(max(variance**2 / (variances**2 / freedom).sum(), 1.0))
    quantile = of_quantiles * weighted + (1 - of_quantiles) * satterthwaite
    return float(np.sqrt(variance) * quantile)


def _quantile(df: float) -> float:
    return float(stdtrit(df, _TAIL))
