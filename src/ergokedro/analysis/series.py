"""Which windows a series of the results is measured on, and their means with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.bootstrap import Interval, bootstrap_means, cluster, intervals
from ergokedro.design.mixture import Design
from ergokedro.parameters import AnalysisParameters

# Columns of the tidy table of results; see docs/measurement.md.
RESULT_COLUMNS = [
    "run", "k", "seed", "split", "quantity", "series", "component", "trained", "position", "value",
    "low", "high", "standard_error", "windows", "documents", "unit",
]  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Rows of one split's windows that a series is measured on.

    Attributes
    ----------
    series : 'chain', 'smallest', 'all' or 'component'.
    component : its name where the series is 'component', else ''.
    rows : int64 (n,), places among the split's windows.
    documents, strata : int64 (n,), document and number of the component of each.
    trained : the run saw all components behind it in training.
    """

    series: str
    component: str
    rows: np.ndarray
    documents: np.ndarray
    strata: np.ndarray
    trained: bool

    def replicates(self, values: np.ndarray, params: AnalysisParameters) -> np.ndarray:
        """Bootstrap means of the columns of `values` (windows of the split, m)."""
        clusters = cluster(values[self.rows], self.documents, self.strata)
        return bootstrap_means(clusters, params.bootstrap, params.seed)

    def mean(self, values: np.ndarray, params: AnalysisParameters) -> Interval:
        """Mean over all tokens of `values`, with its interval."""
        windows = values[self.rows].mean(axis=1, dtype=np.float64, keepdims=True)
        clusters = cluster(windows, self.documents, self.strata)
        means = bootstrap_means(clusters, params.bootstrap, params.seed)
        return intervals(means, params.confidence)[0]

    def tags(self) -> dict[str, Any]:
        """What a row of the tidy table says of the selection."""
        return {
            "series": self.series,
            "component": self.component,
            "trained": self.trained,
            "windows": len(self.rows),
            "documents": len(np.unique(self.documents)),
        }


def selections(windows: pd.DataFrame, design: Design, trained: list[str]) -> list[Selection]:
    """The series of one run: chain, smallest, all, and every component alone.

    Parameters
    ----------
    windows : evaluation windows of one split.
    trained : components that the run was trained on.
    """
    series = [
        ("chain", "", trained),
        ("smallest", "", design.components[:1]),
        ("all", "", design.components),
        *[("component", name, [name]) for name in design.components],
    ]
    order = windows.component.map({name: i for i, name in enumerate(design.components)})
    documents = windows.document.to_numpy()
    selections = []
    for name, component, members in series:
        rows = np.flatnonzero(windows.component.isin(members))
        strata = order.to_numpy()[rows]
        seen = set(members) <= set(trained)
        selections.append(Selection(name, component, rows, documents[rows], strata, seen))
    return selections
