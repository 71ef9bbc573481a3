"""Which windows a series of the results is measured on, and the rows of the tidy results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.bootstrap import Interval, bootstrap_means, cluster
from ergokedro.analysis.random_effects import Estimate, estimate_means, observe
from ergokedro.design.mixture import Design
from ergokedro.parameters import AnalysisParameters

_NAN = float("nan")
# (draw, seed offset) of a run -> NLL of every window of a split, (windows, W - 1), nats.
ByRepeat = Mapping[tuple[int, int], np.ndarray]


@dataclass(frozen=True)
class ResultRow:
    """One number of the tidy results.

    Attributes
    ----------
    run : name of the run or, where several runs are averaged, of the series.
    k : number of components that the run was trained on.
    seed : seed of the run; the smallest where several are averaged.
    draws, seeds : number of draws of the training text, and of seeds in each, behind the value.
    tokens : training tokens that each of the run's components gave per epoch; 0 where this has
        no meaning.
    split, quantity, series, component : what was measured on which text; `component` is empty
        where several are averaged.
    source : another component, where a quantity relates two.
    trained : whether the run was trained on all components behind the value.
    position : of the predicted token in the window, 2..W; 0 for a mean over positions.
    value, low, high, standard_error : in `unit`; NaN where there is no interval.
    degrees_of_freedom : of the interval's Student's t.
    windows, documents : how many are behind the value.
    note : why a value is not determined or a bound; empty otherwise.
    """

    run: str
    k: int
    split: str
    quantity: str
    series: str
    value: float
    seed: int = 0
    seeds: int = 1
    draws: int = 1
    tokens: int = 0
    component: str = ""
    source: str = ""
    trained: bool = True
    position: int = 0
    low: float = _NAN
    high: float = _NAN
    standard_error: float = _NAN
    degrees_of_freedom: float = _NAN
    windows: int = 0
    documents: int = 0
    unit: str = "nats"
    note: str = ""


# Order of the columns; see docs/measurement.md.
RESULT_COLUMNS = [
    "run", "k", "seed", "seeds", "draws", "tokens", "split", "quantity", "series", "component",
    "source", "trained", "position", "value", "low", "high", "standard_error",
    "degrees_of_freedom", "windows", "documents", "unit", "note",
]  # fmt: skip
assert set(RESULT_COLUMNS) == {field.name for field in fields(ResultRow)}


def results_table(rows: Iterable[ResultRow]) -> pd.DataFrame:
    """The rows as a table with the columns of :data:`RESULT_COLUMNS`."""
    return pd.DataFrame([asdict(row) for row in rows], columns=RESULT_COLUMNS)


@dataclass(frozen=True)
class Selection:
    """Rows of one split's windows that a series is measured on.

    Attributes
    ----------
    split : name of the split.
    series : 'chain', 'smallest', 'all' or 'component'.
    component : its name where the series is 'component', else ''.
    rows : int64 (n,), indices among the split's windows.
    documents, strata : int64 (n,), document and number of the component of each window.
    trained : the run was trained on all components behind the series.
    """

    split: str
    series: str
    component: str
    rows: np.ndarray
    documents: np.ndarray
    strata: np.ndarray
    trained: bool

    def replicates(self, values: np.ndarray, params: AnalysisParameters) -> np.ndarray:
        """Bootstrap means of the columns of `values` (windows of the split, m), for curve fits."""
        clusters = cluster(values[self.rows], self.documents, self.strata)
        return bootstrap_means(clusters, params.bootstrap, params.seed)

    def estimates(
        self,
        values: np.ndarray,
        params: AnalysisParameters,
        draws: Sequence[int] = (0,),
    ) -> list[Estimate]:
        """Means of m quantities of every window, with the chance of all that was repeated.

        Parameters
        ----------
        values : (m, runs, windows of the split).
        draws : of each run; runs of the same draw have different seeds.
        """
        chosen = observe(values[..., self.rows], self.documents, self.strata, np.array(draws))
        return estimate_means(chosen, params.confidence)

    def estimate(
        self,
        values: Iterable[np.ndarray],
        params: AnalysisParameters,
        draws: Sequence[int] = (0,),
    ) -> Estimate:
        """Mean over all tokens of `values`, of each run (windows of the split, W - 1)."""
        windows = np.stack([each.mean(axis=1, dtype=np.float64) for each in values])
        return self.estimates(windows[None], params, draws)[0]

    def estimate_repeats(self, by_repeat: ByRepeat, params: AnalysisParameters) -> Estimate:
        """As :meth:`estimate`, of one run in several draws and with several seeds."""
        draws = [draw for draw, _ in by_repeat]
        return self.estimate(by_repeat.values(), params, draws)

    def ratio(
        self,
        sums: np.ndarray,
        counts: np.ndarray,
        params: AnalysisParameters,
        draws: Sequence[int] = (0,),
    ) -> Estimate | None:
        """Sum over sum, such as bits per byte: the mean over the components of their ratios.

        None if a component has nothing to divide by.

        Parameters
        ----------
        sums : (runs, windows of the split).
        counts : (windows of the split,), not negative.
        """
        rows = self.rows[counts[self.rows] > 0]
        kept = np.isin(self.rows, rows)
        if set(self.strata[kept]) != set(self.strata):
            return None
        documents, strata = self.documents[kept], self.strata[kept]
        chosen = observe(sums[:, rows], documents, strata, np.array(draws), counts[rows])
        return estimate_means(chosen, params.confidence)[0]

    def mean(self, values: np.ndarray, params: AnalysisParameters) -> Estimate:
        """Mean over all tokens of one run's `values`, (windows of the split, W - 1)."""
        return self.estimate(values[None], params)

    def by_position(self, values: np.ndarray, params: AnalysisParameters) -> list[Estimate]:
        """Means of the columns of one run's `values`, (windows of the split, m)."""
        return self.estimates(values.T[:, None], params)

    def row(self, quantity: str, value: float | Interval | Estimate, **fields: Any) -> ResultRow:
        """A row of the results for this selection.

        Parameters
        ----------
        value : a number, or a mean with its interval.
        fields : of :class:`ResultRow`: at least run and k.
        """
        own = {
            "split": self.split,
            "series": self.series,
            "component": self.component,
            "trained": self.trained,
            "windows": len(self.rows),
            "documents": len(np.unique(self.documents)),
        }
        return ResultRow(quantity=quantity, **{**own, **_columns(value), **fields})


def _columns(value: float | Interval | Estimate) -> dict[str, Any]:
    """The columns that hold a value and its interval."""
    if isinstance(value, Estimate):
        size = {"draws": value.size.draws, "seeds": value.size.seeds}
        freedom = {"degrees_of_freedom": value.degrees_of_freedom}
        return {**value.interval._asdict(), **size, **freedom}
    return value._asdict() if isinstance(value, Interval) else {"value": value}


def selections(
    windows: pd.DataFrame, split: str, design: Design, trained: list[str]
) -> list[Selection]:
    """The series of one run: chain, smallest, all, and every component alone.

    Parameters
    ----------
    windows : evaluation windows of the split.
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
        selections.append(Selection(split, name, component, rows, documents[rows], strata, seen))
    return selections
