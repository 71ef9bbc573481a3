"""Which effect a number of draws, seeds and documents detects, and how many a goal needs.

The variance of the estimate and its degrees of freedom follow from the variance components and
the numbers of draws, seeds and documents, as in :mod:`ergokedro.analysis.combined_variance` with
every mean square at its expectation. Power is then that of Student's t test, by the noncentral t
distribution with the noncentrality effect / standard error (Westfall, Kenny and Judd 2014,
Statistical power and optimal design in experiments in which samples of participants respond to
samples of stimuli: here draws and seeds are the participants and documents the stimuli).

Every draw has seeds of its own: the variance of seeds is that of one run on the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import nctdtr, nctdtrinc, stdtrit

from ergokedro.analysis.combined_variance import Part, combine
from ergokedro.analysis.random_effects import Estimate, SampleSize

# No more draws, seeds or documents than this are recommended.
LIMIT = 100_000


@dataclass(frozen=True)
class Variances:
    """Variance of the effect of a single level of every source of chance, nats^2.

    Attributes
    ----------
    draws, seeds : of the mean over the components, under one model.
    documents : of one document, the same under all models.
    documents_draws, documents_seeds : of one document, crossed with runs.
    """

    draws: float = 0.0
    seeds: float = 0.0
    documents: float = 0.0
    documents_draws: float = 0.0
    documents_seeds: float = 0.0

    @classmethod
    def of(cls, estimate: Estimate) -> Variances:
        """The estimated ones, negative ones as zero.

        A variance is the contribution times the number of levels: so documents of unequal length
        count as the smaller number of equal ones that is as good.
        """
        totals = dict.fromkeys((field.name for field in fields(cls)), 0.0)
        documents = sum(c.levels for c in estimate.components if c.name == "documents")
        for component in estimate.components:
            levels = documents if component.name == "documents" else component.levels
            totals[component.name.replace(":", "_")] += component.contribution * levels
        return cls(**{name: float(np.maximum(value, 0.0)) for name, value in totals.items()})


def expected_variance(variances: Variances, size: SampleSize) -> Part:
    """Variance of the estimate and degrees of freedom to expect.

    With one draw or one run, the estimate is conditional on it, and its variance is left out.
    """
    n = size.documents * size.components
    own = _of_mean(variances.draws, variances.seeds, size)
    crossed = _of_mean(variances.documents_draws, variances.documents_seeds, size) / n
    units = size.draws if size.draws > 1 else size.seeds
    runs = size.draws * size.seeds
    of_documents = (
        variances.documents
        + variances.documents_draws / size.draws
        + variances.documents_seeds / runs
    ) / n
    documents = Part(of_documents, size.components * (size.documents - 1))
    return combine(Part(own + crossed, units - 1), crossed, [documents])


def _of_mean(draws: float, seeds: float, size: SampleSize) -> float:
    """Variance of the mean over the runs, as far as it can be estimated."""
    if size.draws > 1:
        return draws / size.draws + seeds / (size.draws * size.seeds)
    return seeds / size.seeds if size.seeds > 1 else 0.0


def power_of(effect: float, variances: Variances, size: SampleSize, alpha: float = 0.05) -> float:
    """Probability that the two-sided test at level alpha detects a true effect, nats."""
    variance, df = expected_variance(variances, size)
    if variance == 0:
        return float(effect != 0)
    critical = stdtrit(df, 1 - alpha / 2)
    shift = abs(effect) / np.sqrt(variance)
    return float(1 - nctdtr(df, shift, critical) + nctdtr(df, shift, -critical))


def detectable_effect(
    variances: Variances, size: SampleSize, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest true effect that is detected with this power at level alpha, nats.

    The probability to find it with the wrong sign is neglected: below 1e-4 where power is 0.5.
    """
    variance, df = expected_variance(variances, size)
    critical = stdtrit(df, 1 - alpha / 2)
    return float(nctdtrinc(df, 1 - power, critical) * np.sqrt(variance))


def needed(
    goal: float,
    variances: Variances,
    size: SampleSize,
    unit: str,
    power: float = 0.8,
    alpha: float = 0.05,
) -> int | None:
    """How many draws, seeds or documents detect an effect of `goal` nats, the others as they are.

    Parameters
    ----------
    unit : 'draws', 'seeds' or 'documents' (per component).

    Returns
    -------
    At least 2, or None where no number up to :data:`LIMIT` suffices, because of the others.
    """

    def detects(count: int) -> bool:
        changed = size._replace(**{unit: count})
        return detectable_effect(variances, changed, power, alpha) <= goal

    return _smallest(detects)


def needed_by_unit(
    goal: float,
    variances: Variances,
    size: SampleSize,
    power: float = 0.8,
    alpha: float = 0.05,
) -> dict[str, int | None]:
    """:func:`needed` for every unit whose chance is known: of which there is more than one."""
    units = [u for u in ("draws", "seeds", "documents") if getattr(size, u) > 1]
    return {unit: needed(goal, variances, size, unit, power, alpha) for unit in units}


def _smallest(holds: Callable[[int], bool]) -> int | None:
    """Smallest number from 2 to LIMIT for which a monotone condition holds."""
    high = 2
    while not holds(high):
        if high >= LIMIT:
            return None
        high = min(2 * high, LIMIT)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
