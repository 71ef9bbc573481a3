"""Rows of the tidy table of results, which docs/measurement.md describes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr


class Estimate(NamedTuple):
    """A value with the ends of its interval, which are NaN where there is none."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, row: Any) -> Estimate:
        """The estimate in a row of the results."""
        return cls(float(row.value), float(row.low), float(row.high))

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies above or below zero; 0 where it does not tell."""
        return int(self.low > 0) - int(self.high < 0)


def pick_rows(results: pd.DataFrame, quantity: str, series: str, split: str) -> pd.DataFrame:
    """The rows of one quantity, series and split, by K and position."""
    chosen = (results.quantity == quantity) & (results.series == series) & (results.split == split)
    return results[chosen].sort_values(["k", "position"])


def headline_series(results: pd.DataFrame, split: str) -> str:
    """The series whose differences are the effect of K: 'balanced', where the sets were run."""
    balanced = pick_rows(results, "difference_to_k1", "balanced", split)
    return "smallest" if balanced.empty else "balanced"


def effect_series(table: pd.DataFrame) -> str:
    """As :func:`headline_series`, of several experiments: 'balanced', where all of them have it.

    Parameters
    ----------
    table : rows of all experiments, told apart by the column `experiment`; those without any
        difference to K = 1 do not count.
    """
    differences = table[table.quantity == "difference_to_k1"]
    balanced = differences[differences.series == "balanced"]
    everywhere = set(balanced.experiment) == set(differences.experiment)
    return "balanced" if everywhere and len(balanced) else "smallest"


def interval_note(results: pd.DataFrame, rows: pd.DataFrame, drawn_as: str = "Bars") -> str:
    """A sentence on the intervals of some rows: their coverage, and the chance that they hold.

    Parameters
    ----------
    results : the whole table, whose intervals all have the same coverage.

    Returns
    -------
    The sentence after a space; '' where no row has an interval.
    """
    shown = rows[rows.low.notna()]
    if shown.empty:
        return ""
    draws = shown.draws > 1
    repeated = {"training documents": draws, "seeds": draws | (shown.seeds > 1)}  # draws have own
    always = ["held-out documents", *(name for name, held in repeated.items() if held.all())]
    partly = [name for name, held in repeated.items() if held.any() and not held.all()]
    also = f", some also over {' and '.join(partly)}" if partly else ""
    listed = " and ".join(filter(None, [", ".join(always[:-1]), always[-1]]))
    return f" {drawn_as}: {percent(coverage(results))}intervals over {listed}{also}."


def coverage(results: pd.DataFrame) -> float:
    """Of the intervals, as those by Student's t show it; NaN where there are none of these."""
    rows = results[(results.degrees_of_freedom > 0) & (results.standard_error > 0)]
    half = (rows.high - rows.low) / 2 / rows.standard_error
    return float((2 * stdtr(rows.degrees_of_freedom, half) - 1).median())


def percent(share: float) -> str:
    """A share as '95 % ', before a noun; '' where it is not known."""
    return "" if np.isnan(share) else f"{100 * share:.4g} % "


def knows_sources(results: pd.DataFrame) -> bool:
    """Whether the exact sources of the corpus are known, as those of the synthetic corpus are."""
    return bool(results.quantity.isin(["exact_xe", "exact_identification"]).any())


def component_names(results: pd.DataFrame) -> list[str]:
    """The components of the design, in its order, whichever K were run."""
    return list(dict.fromkeys(results.component[results.series == "component"]))


def run_ks(results: pd.DataFrame) -> list[int]:
    """The values of K that were run, ascending; published models have none."""
    return sorted(results.k[results.series != "reference"].unique())


def n_components(results: pd.DataFrame) -> int:
    """How many components the design has, whichever K were run."""
    return len(component_names(results))


def distinguishability_rows(results: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of `distinguishability`, with the component of each specialist.

    Returns
    -------
    Columns of the results and `specialist`, the component that the specialist was trained on.
    """
    rows = results[(results.quantity == "distinguishability") & (results.split == split)]
    trained_on = rows[rows.trained.astype(bool)].set_index("run").component
    return rows.assign(specialist=rows.run.map(trained_on))


def distinguishability_matrix(results: pd.DataFrame, column: str, split: str) -> pd.DataFrame:
    """One column of the rows of `distinguishability`: component (rows) by specialist (columns)."""
    rows = distinguishability_rows(results, split)
    order = list(rows.component[rows.trained.astype(bool)])
    return rows.pivot(index="component", columns="specialist", values=column).loc[order, order]
