"""Where the cost of K comes from, for the report."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ergokedro.analysis.best_specialists import MOST
from ergokedro.analysis.decomposition import TERMS
from ergokedro.reporting.results import Estimate, knows_sources, pick_rows

_QUANTITIES = ("cost", *TERMS, "identification_bound", "exact_identification")
_CORRECT = 0.9  # share of windows whose component is identified


@dataclass(frozen=True)
class SpecialistSize:
    """The specialists of all components with D / divisor tokens, as they were chosen.

    Attributes
    ----------
    epochs, rates : the least and the most of them, as multiples of those of the models of K.
    """

    divisor: int
    epochs: tuple[float, float]
    rates: tuple[float, float]


@dataclass(frozen=True)
class Cost:
    """The cost of a model of K over specialists, nats per token.

    Attributes
    ----------
    terms : estimate by name, in the order of ``TERMS``; they add up to `total`.
    largest : name of the term of the largest size.
    clearly : its interval lies clear of the others'.
    bound : the most that identification can cost.
    known : the exact sources are known; else what is called identification is mixing redundancy.
    confounded : what else starvation holds beside less text; '' for the best specialists.
    sizes : which specialists were chosen, from the largest to the smallest.
    not_best : components whose specialist with D tokens is worse than K = 1, which has the same
        text and the schedule of the chain, and by how much.
    specialists, at_most : how many there are, and how many of them make the most epochs that were
        tried, so that more might be better.
    """

    k: int
    total: Estimate
    terms: dict[str, Estimate]
    largest: str
    clearly: bool
    bound: float
    known: bool
    confounded: str
    sizes: list[SpecialistSize]
    not_best: dict[str, Estimate]
    specialists: int
    at_most: int

    @property
    def share_of_bound(self) -> float:
        """How much of the bound identification takes; negative where it saves."""
        return self.terms["identification"].value / self.bound


@dataclass(frozen=True)
class Naming:
    """In which share of windows the mixture of K specialists identifies the component.

    Attributes
    ----------
    tokens : how many it has read by then; None where the share is small up to the last token.
    """

    k: int
    share: Estimate
    tokens: int | None


@dataclass(frozen=True)
class CostRow:
    """One row of the table of terms.

    Attributes
    ----------
    component : None for the mean over all components.
    estimates : by quantity; the low and high ends of a constant are equal.
    """

    k: int
    component: str | None
    estimates: dict[str, Estimate]


def find_cost(results: pd.DataFrame, split: str) -> Cost | None:
    """The cost of the largest K; None where no specialists were trained."""
    rows = pick_rows(results, "cost", "chain", split)
    if rows.empty:
        return None
    k = int(rows.k.max())
    chain = (results.split == split) & (results.series == "chain") & (results.position == 0)
    estimates = results[chain & (results.k == k)].set_index("quantity")
    terms = {name: Estimate.of(estimates.loc[name]) for name in TERMS}
    largest, clearly = _largest(terms)
    bound = float(estimates.value["identification_bound"])
    total = Estimate.of(estimates.loc["cost"])
    confounded = str(estimates.note["starvation"])
    known = knows_sources(results)
    epochs = pick_rows(results, "specialist_epochs", "component", split)
    at_most = int((epochs.note == MOST).sum())
    worse = pick_rows(results, "specialist_less_k1", "component", split)
    return Cost(
        k,
        total,
        terms,
        largest,
        clearly,
        bound,
        known,
        confounded,
        _sizes(results, split),
        {str(row.component): Estimate.of(row) for row in worse[worse.low > 0].itertuples()},
        len(epochs),
        at_most,
    )


def _sizes(results: pd.DataFrame, split: str) -> list[SpecialistSize]:
    """One of each size, with what was chosen on validation text."""
    chosen = {}
    for quantity in ("specialist_epochs", "specialist_rate"):
        rows = pick_rows(results, quantity, "component", split)
        divisors = (rows.tokens.max() / rows.tokens).round().astype(int)
        chosen[quantity] = rows.value.groupby(divisors).agg(["min", "max"])
    epochs, rates = chosen.values()
    return [
        SpecialistSize(divisor, tuple(epochs.loc[divisor]), tuple(rates.loc[divisor]))
        for divisor in epochs.index
    ]


def _largest(terms: dict[str, Estimate]) -> tuple[str, bool]:
    """The term of the largest size, and whether its interval lies clear of the others'."""
    first, *others = sorted(terms, key=lambda name: -abs(terms[name].value))
    near = min(abs(terms[first].low), abs(terms[first].high))
    return first, all(near > max(abs(terms[o].low), abs(terms[o].high)) for o in others)


def find_naming(results: pd.DataFrame, split: str, k: int) -> Naming:
    """After how many tokens the component of most windows is identified."""
    rows = pick_rows(results, "naming_accuracy", "chain", split)
    curve = rows[rows.k == k]
    enough = curve[curve.value >= _CORRECT]
    if enough.empty:
        return Naming(k, Estimate.of(curve.iloc[-1]), None)
    return Naming(k, Estimate.of(enough.iloc[0]), int(enough.position.iloc[0]) - 1)


def cost_rows(results: pd.DataFrame, split: str = "test") -> list[CostRow]:
    """One row per K and component, and their mean, with those quantities that were measured."""
    chosen = results[
        (results.split == split)
        & results.quantity.isin(_QUANTITIES)
        & results.series.isin(["chain", "component"])
        & (results.position == 0)
    ]
    rows: dict[tuple[int, str | None], dict[str, Estimate]] = {}
    for row in chosen.itertuples():
        component = row.component if row.series == "component" else None
        rows.setdefault((row.k, component), {})[row.quantity] = Estimate.of(row)
    return [CostRow(k, component, estimates) for (k, component), estimates in rows.items()]
