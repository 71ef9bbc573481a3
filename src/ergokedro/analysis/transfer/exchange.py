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
    law : of the fit to all runs.
    direct : of one run.
    agree : their intervals overlap; None where one of them is not known.
    """

    component: str
    source: str
    run: int
    law: Interval
    direct: Interval
    bound: str
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
    found = []
    for one in equivalents:
        if runs.sizes[one.run] == 2:
            row, c = runs.tokens[one.run], runs.column(one.component)
            j = next(j for j in np.flatnonzero(row) if j != c)
            value, low, high = ((end - row[c]) / row[j] for end in one.tokens[:3])
            tau = Interval(value, low, high, one.tokens.standard_error / row[j])
            found.append(DirectExchange(one.component, runs.components[j], one.run, tau, one.bound))
    return found


def check_exchange(fit: LawFit, direct: list[DirectExchange]) -> list[ExchangeCheck]:
    """Both estimates side by side, of every direct one.

    Raises
    ------
    ErgokedroError
        If the law has no τ.
    """
    checks = []
    for one in direct:
        law = fit.estimate("tau", one.component, one.source).interval
        ends = np.array([law.low, law.high, one.tau.low, one.tau.high])
        known = not np.isnan(ends).any()
        agree = bool(law.low <= one.tau.high and one.tau.low <= law.high) if known else None
        checks.append(
            ExchangeCheck(one.component, one.source, one.run, law, one.tau, one.bound, agree)
        )
    return checks
