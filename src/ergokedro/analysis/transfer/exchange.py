"""What a token of one component is worth to another: the exchange matrix τ, two ways.

From a law: τ_cj of the fit to all runs. Direct: a model of {c, j} with n_c and n_j tokens reads c
as a specialist of n tokens does, so a token of j was worth (n - n_c) / n_j. The second uses one run
and no form of a law; both must agree where the law holds. (They need not where specialists are
the best of their size but mixtures are not: then the direct estimate is the lower.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.transfer.fitting import LawFit
from ergokedro.analysis.transfer.own_text import OwnTextEquivalent
from ergokedro.analysis.transfer.runs import MixtureRuns


@dataclass(frozen=True)
class DirectExchange:
    """τ of a pair from one run on both.

    Attributes
    ----------
    component, source : whose XE, and whose tokens.
    run : row of the run.
    tau : own tokens that a token of the source was worth, with its interval.
    bound : '>' or '<' where `tau.value` is only a limit, '?' where nothing can be said; see
        :class:`OwnTextEquivalent`.
    """

    component: str
    source: str
    run: int
    tau: Interval
    bound: str


@dataclass(frozen=True)
class ExchangeCheck:
    """Both estimates of one τ.

    Attributes
    ----------
    direct : of one run.
    law : of the fit to all runs.
    agree : their intervals overlap; None where one of them is not known.
    """

    direct: DirectExchange
    law: Interval
    agree: bool | None


def exchange_matrix(fit: LawFit) -> np.ndarray:
    """τ of a law: float64 (m, m), row c of component c, 1 on the diagonal.

    NaN where the runs do not determine it, and in the rows of components that were not observed.

    Raises
    ------
    ErgokedroError
        If the law has no τ.
    """
    m = len(fit.components)
    matrix = np.full((m, m), np.nan)
    np.fill_diagonal(matrix, 1.0)
    columns = {int(column) for part in fit.parts for column in part.problem.sample.columns}
    pairs = [(c, j) for c in columns for j in range(m) if c != j]
    for c, j in pairs:
        estimate = fit.estimate("tau", fit.components[c], fit.components[j])
        matrix[c, j] = estimate.interval.value
    return matrix


def effective_tokens(matrix: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Own tokens that mixtures are worth to every component, by a law: float64 (n, m).

    Parameters
    ----------
    matrix : float64 (m, m), τ.
    tokens : (n, m), training tokens of the mixtures. A τ that is NaN matters only where its source
        has tokens.
    """
    known = np.where(np.isnan(matrix), 0.0, matrix)
    unknown = (tokens > 0) @ np.isnan(matrix).T
    return np.where(unknown, np.nan, tokens @ known.T)


def direct_exchange(
    runs: MixtureRuns, equivalents: Iterable[OwnTextEquivalent]
) -> list[DirectExchange]:
    """τ from the own-text equivalents of the runs on two components; others are passed over."""
    rates = []
    for equivalent in equivalents:
        row, component = runs.tokens[equivalent.run], runs.column(equivalent.component)
        if runs.sizes[equivalent.run] == 2:
            source = next(j for j in np.flatnonzero(row) if j != component)
            own, other = row[component], row[source]
            value, low, high = ((end - own) / other for end in equivalent.tokens[:3])
            tau = Interval(value, low, high, equivalent.tokens.standard_error / other)
            names = equivalent.component, runs.components[source]
            rates.append(DirectExchange(*names, equivalent.run, tau, equivalent.bound))
    return rates


def check_exchange(fit: LawFit, direct: list[DirectExchange]) -> list[ExchangeCheck]:
    """Both estimates side by side, of every direct one.

    Raises
    ------
    ErgokedroError
        If the law has no τ.
    """
    checks = []
    for rate in direct:
        law = fit.estimate("tau", rate.component, rate.source).interval
        ends = law.low, law.high, rate.tau.low, rate.tau.high
        overlap = bool(law.low <= rate.tau.high and rate.tau.low <= law.high)
        checks.append(ExchangeCheck(rate, law, None if np.isnan(ends).any() else overlap))
    return checks
