"""The one number that the report opens with: how K changes cross entropy, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from ergokedro.reporting.results import Estimate, headline_series, pick_rows

_NEEDED = ("draws", "seeds", "documents")


@dataclass(frozen=True)
class HeadlineRow:
    """One K of the headline's table, nats per token.

    Attributes
    ----------
    xe : None where only differences were measured.
    difference : to K = 1; None for K = 1.
    decision : 'higher', 'lower' or 'not determined', after the correction for all K; '' for K = 1.
    least : cross entropy of the exact optimum; None where it is not known.
    """

    k: int
    xe: Estimate
    difference: Estimate | None
    decision: str
    least: float | None

    @property
    def size(self) -> Estimate:
        """The difference without its sign, for words such as 'rises by' and 'falls by'."""
        assert self.difference is not None
        value, low, high = self.difference
        return self.difference if value >= 0 else Estimate(-value, -high, -low)


@dataclass(frozen=True)
class Headline:
    """The headline's table, and what its largest K says.

    Attributes
    ----------
    series : 'balanced', or 'smallest' where the sets of components were not run.
    rows : by K.
    draws, seeds, documents : how many are behind the difference of the largest K.
    shared_text : how much text its draws have in common, in words; '' where they are disjoint.
    needed : where that difference is not determined, how many draws, seeds or documents would
        probably determine an effect of `analysis.detect`, the others as they are.
    """

    series: str
    rows: list[HeadlineRow]
    draws: int
    seeds: int
    documents: int
    shared_text: str
    needed: dict[str, int]

    @property
    def largest(self) -> HeadlineRow:
        """The largest K."""
        return self.rows[-1]


def find_headline(results: pd.DataFrame, split: str = "test") -> Headline:
    """What the results of one split say first."""
    series = headline_series(results, split)
    differences = pick_rows(results, "difference_to_k1", series, split).set_index("k")
    least = pick_rows(results, "exact_xe", series, split).set_index("k").value
    xe = pick_rows(results, "xe", series, split)
    rows = [
        HeadlineRow(
            row.k,
            Estimate.of(row),
            Estimate.of(differences.loc[row.k]) if row.k in differences.index else None,
            str(differences.note.get(row.k, "")),
            least.get(row.k),
        )
        for row in xe.itertuples()
    ]
    last = differences.iloc[-1] if len(differences) else xe.iloc[-1]
    k = rows[-1].k
    shared = pick_rows(results, "variance_draws", series, split).set_index("k").note.get(k, "")
    needed = {unit: pick_rows(results, f"needed_{unit}", series, split) for unit in _NEEDED}
    numbers = {unit: table.set_index("k").value.get(k) for unit, table in needed.items()}
    return Headline(
        series,
        rows,
        draws=int(last.draws),
        seeds=int(last.draws * last.seeds),  # every draw has its own
        documents=int(last.documents),
        shared_text=str(shared),
        needed={u: int(n) for u, n in numbers.items() if n is not None and math.isfinite(n)},
    )
