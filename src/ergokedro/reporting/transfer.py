"""What a component's own text and others' text are worth, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ergokedro.reporting.results import Estimate, pick_rows

# A token of another component that is worth less is shown as worth 0.00.
_WORTHLESS = 0.005
_LAW = "transfer"
_HELD_OUT = {"set": "one set of components", "k": "one K", "budget": "one budget of tokens"}


@dataclass(frozen=True)
class Worth:
    """A number that may be a bound, or not determined.

    Attributes
    ----------
    note : '' for a value; '>' or '<' for a bound; else it is not determined, and '?' or a reason.
    """

    estimate: Estimate
    note: str

    @classmethod
    def of(cls, row: Any) -> Worth:
        """The number in a row of the results."""
        return cls(Estimate.of(row), str(row.note))

    @property
    def determined(self) -> bool:
        """There is a value or a bound."""
        return self.note in ("", "<", ">")

    @property
    def tells(self) -> bool:
        """It is a value whose interval does not hold both no use and that of own text, 0 and 1."""
        return self.note == "" and not (self.estimate.low <= 0 and self.estimate.high >= 1)


@dataclass(frozen=True)
class Equivalent:
    """The own-text equivalent of the chain's model of K on one component.

    Attributes
    ----------
    share : as a part of the model's D tokens.
    """

    k: int
    component: str
    share: Worth

    @property
    def own(self) -> float:
        """Part of the D tokens that is the component's."""
        return 1 / self.k

    @property
    def gain(self) -> float:
        """What the others' text adds, as a part of D."""
        return self.share.estimate.value - self.own


@dataclass(frozen=True)
class Exchange:
    """What a token of `source` is worth to `component`; None where it was not estimated."""

    component: str
    source: str
    law: Worth | None
    direct: Worth | None

    @property
    def best(self) -> Worth | None:
        """The law's estimate, else that of the run on both alone; None where neither tells."""
        return next((w for w in (self.law, self.direct) if w and w.tells), None)


@dataclass(frozen=True)
class LawRow:
    """The law of one component; A is the part above the floor E at `tokens` tokens of its own."""

    component: str
    floor: Worth
    above: Worth
    alpha: Worth
    tokens: int


@dataclass(frozen=True)
class LawError:
    """Mean error of a law on what its fit has not seen.

    Attributes
    ----------
    held_out : what was left out at a time, in words.
    error : nats per token.
    relative : as a share of the measured XE.
    behind : how many predictions it is the mean of.
    """

    law: str
    held_out: str
    error: Estimate
    relative: float
    behind: str

    @property
    def determined(self) -> bool:
        """The other runs determine at least one prediction."""
        return not pd.isna(self.error.value)


@dataclass(frozen=True)
class Transfer:
    """All of it; empty lists where the runs are too few."""

    equivalents: list[Equivalent]
    exchange: list[Exchange]
    laws: list[LawRow]
    errors: list[LawError]

    @property
    def of_largest(self) -> list[Equivalent]:
        """The equivalents of the largest K."""
        largest = max((one.k for one in self.equivalents), default=0)
        return [one for one in self.equivalents if one.k == largest]

    @property
    def has_bounds(self) -> bool:
        """Some of them are known as bounds only."""
        return any(one.share.note in ("<", ">") for one in self.of_largest)

    @property
    def best_exchange(self) -> Exchange | None:
        """The pair in which a token is worth most; None where none is determined."""
        worths = [(pair.best.estimate.value, pair) for pair in self.exchange if pair.best]
        return max(worths, key=lambda item: item[0])[1] if worths else None

    @property
    def worthless(self) -> bool:
        """No token of another component is worth anything, and that of every pair is known."""
        known = [pair.best for pair in self.exchange if pair.best]
        all_known = bool(known) and len(known) == len(self.exchange)
        return all_known and all(one.estimate.value < _WORTHLESS for one in known)

    @property
    def any(self) -> bool:
        """There is something to report."""
        return bool(self.equivalents or self.exchange or self.laws or self.errors)

    @property
    def open_rates(self) -> int:
        """How many exchange rates the law leaves open."""
        return sum(pair.law is not None and not pair.law.determined for pair in self.exchange)

    @property
    def on_sets(self) -> list[LawError]:
        """Errors on sets that were held out: the law's own first."""
        errors = [one for one in self.errors if one.held_out == _HELD_OUT["set"]]
        return sorted(errors, key=lambda one: one.law != _LAW)


def find_transfer(results: pd.DataFrame, split: str = "test") -> Transfer:
    """Everything that the results of one split say of it."""
    return Transfer(
        _equivalents(results, split),
        exchange_rates(results, split),
        _laws(results),
        _errors(results),
    )


def _equivalents(results: pd.DataFrame, split: str) -> list[Equivalent]:
    rows = pick_rows(results, "own_text_share", "component", split)
    chain = set(results[results.series == "chain"].run)
    chosen = rows[rows.run.isin(chain)].itertuples()
    return [Equivalent(row.k, row.component, Worth.of(row)) for row in chosen]


def exchange_rates(results: pd.DataFrame, split: str = "test") -> list[Exchange]:
    """τ of every pair of components, by the law and by the run on both alone."""
    rows = {
        quantity: pick_rows(results, quantity, "component", split)
        for quantity in ("tau", "exchange_direct")
    }
    law, direct = (_by_pair(table) for table in rows.values())
    pairs = dict.fromkeys([*law, *direct])
    return [Exchange(*pair, law.get(pair), direct.get(pair)) for pair in pairs]


def _by_pair(rows: pd.DataFrame) -> dict[tuple[str, str], Worth]:
    """The first row of every pair: that of the largest budget."""
    first = rows.sort_values("tokens", ascending=False, kind="stable")
    first = first.drop_duplicates(["component", "source"]).sort_index()
    return {(row.component, row.source): Worth.of(row) for row in first.itertuples()}


def _laws(results: pd.DataFrame) -> list[LawRow]:
    names = ("law_E", "law_A", "law_alpha")
    floor, above, alpha = (
        results[results.quantity == name].set_index("component") for name in names
    )
    return [
        LawRow(
            name,
            Worth.of(floor.loc[name]),
            Worth.of(above.loc[name]),
            Worth.of(alpha.loc[name]),
            int(above.tokens[name]),
        )
        for name in floor.index
    ]


def _errors(results: pd.DataFrame) -> list[LawError]:
    relative = results[results.quantity == "held_out_relative_error"]
    shares = relative.set_index(["series", "run"]).value
    return [
        LawError(
            row.run,
            _HELD_OUT[row.series.removeprefix("held_out_")],
            Estimate.of(row),
            float(shares[row.series, row.run]),
            row.note,
        )
        for row in results[results.quantity == "held_out_error"].itertuples()
    ]


def exchange_matrix(results: pd.DataFrame, names: Sequence[str], split: str) -> pd.DataFrame:
    """τ of `names`: component (rows) by source (columns), 1 on the diagonal.

    The law's where it is determined, else that of the run on the two alone, else NaN.
    """
    matrix = pd.DataFrame(float("nan"), index=list(names), columns=list(names))
    for name in names:
        matrix.loc[name, name] = 1.0
    for pair in exchange_rates(results, split):
        if pair.best:
            matrix.loc[pair.component, pair.source] = pair.best.estimate.value
    return matrix
