"""Intervals for means over tokens, with the document as the unit of resampling.

Tokens of one document resemble each other, so intervals that count windows as independent are too
small by a factor of two or three. Documents are resampled within their component.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Resampling counts in one matrix product: bounds their memory, however many documents there are.
_BLOCK = 2**21


class Interval(NamedTuple):
    """A mean with its bootstrap percentile interval and standard error."""

    value: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class Clusters:
    """Sums by document, the sufficient statistics of the bootstrap.

    Attributes
    ----------
    sums : float64 (documents, m), sum of each of m quantities over the document's tokens.
    counts : float64 (documents,), number of tokens behind each of its sums.
    strata : int64 (documents,), the component of each document, 0..S-1.
    """

    sums: np.ndarray
    counts: np.ndarray
    strata: np.ndarray


def cluster(values: np.ndarray, documents: np.ndarray, strata: np.ndarray) -> Clusters:
    """Sum window values by document.

    Parameters
    ----------
    values : (windows, m); m quantities of each window, each one token.
    documents : (windows,), any ids.
    strata : (windows,), int; the same for all windows of a document.
    """
    _, first, document = np.unique(documents, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), values.shape[1]))
    np.add.at(sums, document, values.astype(np.float64))
    return Clusters(sums, np.bincount(document).astype(np.float64), strata[first])


def bootstrap_means(clusters: Clusters, replicates: int, seed: int) -> np.ndarray:
    """Bootstrap replicates of the mean of every quantity.

    Every stratum weighs the same: within it the mean is over tokens, then strata are averaged.
    A replicate draws n - 1 of a stratum's n documents, which makes the bootstrap variance of a
    mean unbiased (Rao and Wu 1988, Resampling inference with complex survey data). One document
    alone says nothing of its stratum's spread: then all replicates are NaN. A stratum's draws
    depend on the seed, on its number and on how many documents it has: so other quantities of the
    same documents get the same draws, and their differences are paired.

    Returns
    -------
    float64 (replicates + 1, m); row 0 is the estimate itself, from every document once.
    """
    strata = np.unique(clusters.strata)
    total = np.zeros((replicates + 1, clusters.sums.shape[1]))
    for stratum in strata:
        chosen = clusters.strata == stratum
        sums, counts = clusters.sums[chosen], clusters.counts[chosen]
        total[0] += sums.sum(axis=0) / counts.sum()
        n = len(sums)
        if n == 1:
            total[1:] = np.nan
            continue
        rng = np.random.default_rng([seed, int(stratum)])
        step = max(1, _BLOCK // n)
        for start in range(1, replicates + 1, step):
            stop = min(start + step, replicates + 1)
            times = _draw_counts(rng, n, stop - start)
            total[start:stop] += (times @ sums) / (times @ counts)[:, None]
    return total / len(strata)


def _draw_counts(rng: np.random.Generator, n: int, replicates: int) -> np.ndarray:
    """How often each of n documents is drawn in n - 1 draws: float64 (replicates, n)."""
    # Far faster than rng.multinomial, which makes a binomial draw for every document.
    drawn = rng.integers(n, size=(replicates, n - 1))
    flat = (drawn + n * np.arange(replicates)[:, None]).ravel()
    counts = np.bincount(flat, minlength=replicates * n)
    return counts.reshape(replicates, n).astype(np.float64)


def intervals(means: np.ndarray, confidence: float) -> list[Interval]:
    """Percentile intervals of the columns of :func:`bootstrap_means`."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(means[1:], [tail, 1 - tail], axis=0)
    errors = means[1:].std(axis=0, ddof=1)
    return [
        Interval(float(v), float(lo), float(hi), float(se))
        for v, lo, hi, se in zip(means[0], low, high, errors, strict=True)
    ]
