"""The variance of a mean over runs and documents, and the Student's t distribution it goes with.

Let V be the estimated variance of the mean over the runs, from their totals, and T its estimated
variance over documents, from the documents' means over the runs. What a document has of a run's
chance is in both; call it O (documents crossed with runs). Then

    variance = V + T - O, and not less than V or T, which O cannot exceed in expectation.

The same difference of mean squares is the unbiased estimate in the three-way crossed analysis of
variance (Searle, Casella and McCulloch 1992, Variance components, chapter 4).

Degrees of freedom are Satterthwaite's (1946, An approximate distribution of estimates of variance
components): variance^2 / sum_k part_k^2 / df_k. Where two or three draws or seeds matter, this
covers too seldom (down to 88 % for 95 % in simulations): a part with one or two degrees of freedom
is often far too small by chance, and then counts little. So Student's quantile is, if this is
larger, the mean of the parts' quantiles, weighted by the parts (Cochran 1964, Approximate
significance levels of the Behrens-Fisher test): each part with one or two degrees of freedom by
itself, and the rest with Satterthwaite's. Of a part with two, what documents crossed with runs
account for belongs to the rest, as their variance is known with more degrees of freedom; with one
it does not, since that covers too seldom again (90 %). Where several parts matter alike, this errs
on the wide side.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtridf, stdtrit

from ergokedro.analysis.run_layout import Part, RunLayout

# Parts with so few degrees of freedom enter the quantile by their share.
_FEW = 2
# Effective degrees of freedom are those whose 97.5 % quantile of Student's t is the combined one.
_TAIL = 0.975
_LARGEST_DF = 1e6


def combine(
    layout: RunLayout, run_rss: np.ndarray, document_rss: np.ndarray, documents: list[Part]
) -> Part:
    """Variance of the estimate and its effective degrees of freedom.

    Parameters
    ----------
    layout : of the runs.
    run_rss : float64 (4,), residual sums of squares of the runs' estimates, by set of factors.
    document_rss : float64 (4,), the same of documents' influences, summed over documents.
    documents : the part T of every stratum.
    """
    factors = layout.choose(run_rss)
    runs = layout.parts(factors, run_rss)
    of_runs = sum(part.variance for part in runs)
    of_documents = sum(part.variance for part in documents)
    overlap = max(sum(part.variance for part in layout.parts(factors, document_rss)), 0.0)
    variance = max(of_runs + of_documents - overlap, of_runs, of_documents)
    if variance <= 0:
        return Part(0.0, max(sum(part.df for part in documents), 1.0))
    beyond = min(max(1 - overlap / of_runs, 0.0), 1.0) if of_runs > 0 else 0.0
    few = [(part, beyond if part.df > 1 else 1.0) for part in runs if _is_few(part)]
    return Part(variance, _effective_df(variance, [*runs, *documents], few))


def _is_few(part: Part) -> bool:
    return part.df <= _FEW and part.variance > 0


def _effective_df(variance: float, parts: list[Part], few: list[tuple[Part, float]]) -> float:
    """Degrees of freedom of Student's t with the combined quantile.

    Parameters
    ----------
    parts : all parts of the variance.
    few : those that enter the quantile by their share, and the fraction of them that does.
    """
    noise = sum(part.variance**2 / part.df for part in parts)
    satterthwaite = max(variance**2 / noise, 1.0)
    if not few:
        return satterthwaite
    share = sum(part.variance * fraction for part, fraction in few)
    rest = max(variance - share, 0.0)
    noise_of_rest = noise - sum(part.variance**2 / part.df for part, _ in few)
    df_of_rest = max(rest**2 / noise_of_rest, 1.0) if noise_of_rest > 0 else _LARGEST_DF
    quantile = sum(part.variance * fraction * _quantile(part.df) for part, fraction in few)
    quantile = (quantile + rest * _quantile(df_of_rest)) / (share + rest)
    return min(satterthwaite, _df_of_quantile(quantile))


def _quantile(df: float) -> float:
    return float(stdtrit(df, _TAIL))


def _df_of_quantile(quantile: float) -> float:
    """Degrees of freedom at which Student's t has this 97.5 % quantile."""
    return float(min(max(stdtridf(_TAIL, quantile), 1.0), _LARGEST_DF))
