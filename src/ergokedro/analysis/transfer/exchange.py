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
