"""What the pseudo-components and the repeated seeds say about chance, for the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ergokedro.reporting.results import Estimate, pick_rows


@dataclass(frozen=True)
class PseudoControl:
    """The difference to K = 1 of K random parts of one component, which must be none.

    Attributes
    ----------
    verdict : 'zero' is in the interval; 'documents': it is not, and there are no other seeds;
        'within': the difference is within that of two seeds; 'beyond' it.
    """

    k: int
    estimate: Estimate
    verdict: Literal["zero", "documents", "within", "beyond"]


@dataclass(frozen=True)
class SeedSpread:
    """Standard deviation of the XE of K over seeds, nats per token."""

    k: int
    seeds: int
    value: float


def find_pseudo(results: pd.DataFrame, split: str, noise: float | None) -> list[PseudoControl]:
    """The pseudo-components of every K, judged by documents and by the noise of seeds."""
    rows = pick_rows(results, "difference_to_k1", "pseudo", split)
    differences = [(row.k, Estimate.of(row)) for row in rows.itertuples()]
    return [PseudoControl(k, estimate, _verdict(estimate, noise)) for k, estimate in differences]


def _verdict(
    estimate: Estimate, noise: float | None
) -> Literal["zero", "documents", "within", "beyond"]:
    if estimate.low <= 0 <= estimate.high:
        return "zero"
    if noise is None:
        return "documents"
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
