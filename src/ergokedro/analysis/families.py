"""Decisions about families of contrasts that are read together.

p-values are corrected by Holm (1979, A simple sequentially rejective multiple test procedure), and
intervals by Bonferroni: the family of m contrasts has the confidence c if each interval has
1 - (1 - c) / m. Both hold whatever the dependence between the contrasts, which share models,
documents and often the baseline, and with different degrees of freedom. Methods that make use of
the dependence need its estimate, which two or three draws do not give.

Holm rejects all that Bonferroni rejects, and more: a contrast may be determined although its
simultaneous interval holds zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.power import Variances, needed_by_unit
from ergokedro.analysis.random_effects import Estimate

HIGHER, LOWER, NOT_DETERMINED = "higher", "lower", "not determined"


@dataclass(frozen=True)
class Decision:
    """What a family says about one of its contrasts.

    Attributes
    ----------
    word : HIGHER or LOWER than zero, or NOT_DETERMINED.
    p_value, p_adjusted : before and after the correction for the family; NaN without an interval.
    simultaneous : interval corrected for the family.
    needed : for what is not determined, unit -> how many draws, seeds or documents per component
        would probably determine it, the others as they are; None where no number would.
    """

    word: str
    p_value: float
    p_adjusted: float
    simultaneous: Interval
    needed: Mapping[str, int | None]


def decide(
    family: Sequence[Estimate],
    confidence: float = 0.95,
    goal: float | None = None,
    power: float = 0.8,
) -> list[Decision]:
    """Decide about every contrast of a family.

    Parameters
    ----------
    family : contrasts whose hypothesis is zero.
    goal : effect, nats, that :attr:`Decision.needed` is to detect; default: the observed one.
    power : with which probability.
    """
    p_values = np.array([estimate.p_value for estimate in family])
    tested = max(int(np.isfinite(p_values).sum()), 1)
    alpha = (1 - confidence) / tested
    decisions = []
    for estimate, p, adjusted in zip(family, p_values, holm(p_values), strict=True):
        word = _word(estimate.value, float(adjusted), 1 - confidence)
        missing = _needed(estimate, goal, power, alpha) if word == NOT_DETERMINED else {}
        interval = estimate.at(1 - alpha).interval
        decisions.append(Decision(word, float(p), float(adjusted), interval, missing))
    return decisions


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values: float64 (m,). NaN stays NaN and does not count."""
    adjusted = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _word(value: float, p_value: float, alpha: float) -> str:
    if not p_value <= alpha:
        return NOT_DETERMINED
    return HIGHER if value > 0 else LOWER


def _needed(
    estimate: Estimate, goal: float | None, power: float, alpha: float
) -> dict[str, int | None]:
    """Numbers that would determine a contrast; empty where its variance is not known."""
    if not np.isfinite(estimate.standard_error):
        return {}
    effect = abs(estimate.value) if goal is None else goal
    return needed_by_unit(effect, Variances.of(estimate), estimate.size, power, alpha)
