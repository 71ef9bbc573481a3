"""Rows of the tidy table of results, which docs/measurement.md describes."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd


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
