"""Tables of the report, as typed rows. Titles, notes and headings are in templates/tables.j2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ergokedro.analysis.curve_fits import FORMS
from ergokedro.reporting.results import (
    Estimate,
    component_names,
    distinguishability_rows,
    pick_rows,
)


@dataclass(frozen=True)
class Cell:
    """XE of one K on one component, in nats per token or bits per byte, and whether K was trained
    on it."""

    estimate: Estimate
    trained: bool


@dataclass(frozen=True)
class Matrix:
    """A table whose columns are components.

    Attributes
    ----------
    rows : heading and cells of each row; a cell is None where a component meets itself.
    """

    columns: list[str]
    rows: list[tuple[Any, list[Any]]]


@dataclass(frozen=True)
class ContrastRow:
    """Difference to K = 1 in the series 'smallest' or 'balanced', its p-values and decision."""

    series: str
    k: int
    difference: Estimate
    p: float | None
    p_holm: float | None
    decision: str


@dataclass(frozen=True)
class ConvergenceRow:
    """How fast and how far one K learns; what was not measured is None."""

    k: int
    level: float | None
    tokens: float | None
    excess: float | None
    gaps: dict[str, Estimate]


@dataclass(frozen=True)
class FitRow:
    """One fit of L(t); `parameters` are a, b and the shape, or None where not determined."""

    series: str
    k: int
    form: str
    parameters: tuple[Estimate, Estimate, Estimate] | None
    rmse: float


def component_matrix(results: pd.DataFrame, quantity: str = "xe", split: str = "test") -> Matrix:
    """XE of every K on every component: `xe` or `bits_per_byte`."""
    rows = pick_rows(results, quantity, "component", split)
    columns = component_names(rows)
    cells = {(r.k, r.component): Cell(Estimate.of(r), bool(r.trained)) for r in rows.itertuples()}
    return Matrix(columns, [(k, [cells[k, name] for name in columns]) for k in rows.k.unique()])


def contrast_rows(results: pd.DataFrame, split: str = "test") -> list[ContrastRow]:
    """Difference to K = 1 with its interval and p-values, by series and K."""
    return [
        row for series in ("balanced", "smallest") for row in _contrasts(results, series, split)
    ]


def _contrasts(results: pd.DataFrame, series: str, split: str) -> Iterator[ContrastRow]:
    p, holm = (
        pick_rows(results, quantity, series, split).set_index("k").value
        for quantity in ("p_value", "p_value_holm")
    )
    for row in pick_rows(results, "difference_to_k1", series, split).itertuples():
        estimate = Estimate.of(row)
        yield ContrastRow(series, row.k, estimate, p.get(row.k), holm.get(row.k), row.note)


def distinguishability_table(results: pd.DataFrame, split: str = "test") -> Matrix:
    """How much worse each specialist (columns) predicts each component (rows) than its own."""
    rows = distinguishability_rows(results, split)
    names = list(rows.component[rows.trained.astype(bool)])
    cells = {(row.component, row.specialist): Estimate.of(row) for row in rows.itertuples()}
    body = [(name, [cells[name, other] if other != name else None for other in names])
            for name in names]  # fmt: skip
    return Matrix(names, body)


def convergence_rows(results: pd.DataFrame) -> list[ConvergenceRow]:
    """One row per K: tokens to the level that was set, mean excess, and gaps by split."""
    level, tokens, excess = (
        results[results.quantity == name].set_index("k").value
        for name in ("level", "tokens_to_level", "excess_area")
    )
    gaps: dict[int, dict[str, Estimate]] = {k: {} for k in excess.index}
    for row in results[results.quantity == "train_gap"].itertuples():
        gaps.setdefault(row.k, {})[row.split] = Estimate.of(row)
    return [
        ConvergenceRow(k, level.get(k), tokens.get(k), excess.get(k), gaps[k]) for k in sorted(gaps)
    ]


def fit_rows(results: pd.DataFrame, split: str = "test") -> list[FitRow]:
    """One row per series, K and form."""
    fits = results[(results.split == split) & results.quantity.str.startswith("fit_")]
    return [
        _fit_row(series, k, form, fit)
        for (series, k), rows in fits.groupby(["series", "k"])
        for form, fit in ((form, rows.set_index("quantity")) for form in FORMS)
        if f"fit_{form}_a" in fit.index
    ]


def _fit_row(series: str, k: int, form: str, fit: pd.DataFrame) -> FitRow:
    names = ("a", "b", FORMS[form].shape)
    a, b, shape = (Estimate.of(fit.loc[f"fit_{form}_{name}"]) for name in names)
    known = is_determined(a, b, shape)
    rmse = float(fit.value[f"fit_{form}_rmse"])
    return FitRow(series, k, form, (a, b, shape) if known else None, rmse)


def is_determined(floor: Estimate, *others: Estimate) -> bool:
    """Every parameter lies in its interval, and that of the floor above 0.

    Where L(t) hardly bends, or has little text behind it, any floor fits, and refits scatter.
    """
    return bool(floor.low >= 0) and all(p.low <= p.value <= p.high for p in (floor, *others))
