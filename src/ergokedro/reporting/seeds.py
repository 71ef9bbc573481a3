"""What the pseudo-components and the repeated seeds say about chance, for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ergokedro.reporting.results import Estimate, pick_rows

Verdict = Literal["zero", "documents", "draws", "within", "beyond"]


@dataclass(frozen=True)
class PseudoControl:
    """The difference to K = 1 of K random parts of one component, which must be none.

    Attributes
    ----------
    verdict : 'zero' is in the interval. Else, with several seeds in a draw, whether the difference
        is 'within' that of two seeds or 'beyond' it; with one seed, what the interval is over:
        'documents' alone, or 'draws', too.
    """

    k: int
    estimate: Estimate
    verdict: Verdict


@dataclass(frozen=True)
class SeedSpread:
    """Standard deviation of the XE of K over seeds, nats per token."""

    k: int
    seeds: int
    value: float


def find_pseudo(results: pd.DataFrame, split: str, noise: float | None) -> list[PseudoControl]:
    """The pseudo-components of every K, judged by documents and by the noise of seeds."""
    rows = pick_rows(results, "difference_to_k1", "pseudo", split)
    return [
        PseudoControl(row.k, Estimate.of(row), _verdict(Estimate.of(row), row.draws, noise))
        for row in rows.itertuples()
    ]


def _verdict(estimate: Estimate, draws: int, noise: float | None) -> Verdict:
    if estimate.low <= 0 <= estimate.high:
        return "zero"
    if noise is None:
        return "draws" if draws > 1 else "documents"
    return "within" if abs(estimate.value) <= noise else "beyond"


def find_spread(results: pd.DataFrame, split: str) -> list[SeedSpread]:
    """The spread over seeds for each K that was repeated."""
    rows = results[(results.split == split) & (results.quantity == "seed_spread")]
    return [SeedSpread(row.k, int(row.seeds), float(row.value)) for row in rows.itertuples()]


def seed_noise(results: pd.DataFrame, split: str) -> float | None:
    """By how much 95 % of pairs of seeds differ at most, from the spread pooled over K.

    Student's t of the difference of two runs: t(0.975, f) sqrt(2 s^2), where f is the sum of
    seeds - 1 over K and s^2 the mean of the variances, weighted by seeds - 1.
    """
    from scipy.stats import t

    spread = find_spread(results, split)
    freedom = np.array([row.seeds - 1 for row in spread])
    if freedom.sum() == 0:
        return None
    variance = freedom @ np.array([row.value**2 for row in spread]) / freedom.sum()
    return float(t.ppf(0.975, freedom.sum()) * np.sqrt(2 * variance))
