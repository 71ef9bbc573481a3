"""The report on a grid: XE(K, D, N), one table, one figure, in Markdown and in HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from ergokedro.analysis.transfer.over_grid import GridLaw, laws_over_grid
from ergokedro.design.mixture import Design
from ergokedro.design.records import RunSummary
from ergokedro.reporting import rendering
from ergokedro.reporting.figures.axes import error_bars, make_figure, share_legend
from ergokedro.reporting.figures.fonts import fit_fonts
from ergokedro.reporting.figures.style import (
    DIFFERENCE_LABEL,
    MIDDLE,
    SERIES,
    XE_LABEL,
    category_marker,
    colour_of,
)
from ergokedro.reporting.pictures import Picture
from ergokedro.reporting.results import Estimate, effect_series, interval_note, n_components
from ergokedro.reporting.text import plain_text, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_QUANTITIES = ("xe", "bits_per_byte", "difference_to_k1", "p_value_holm")
_SHOWN = ("smallest", "all", "balanced")
# Factor between the places of neighbouring K on the axis of D, so that their intervals are apart.
_BESIDE = 1.02
_PICTURE = "xe_grid"


def collect(
    experiment: str, results: pd.DataFrame, design: Design, summary: RunSummary
) -> pd.DataFrame:
    """What one experiment of the grid says of XE by K.

    Parameters
    ----------
    summary : of any run of its chain.

    Returns
    -------
    Rows of its results, without those by position, with the columns experiment, preset,
    parameters (N, number of weights) and total_tokens (D, per epoch) in front.
    """
    names = ["component", "set", *SERIES, "balanced"]
    rows = results[
        results.quantity.isin(_QUANTITIES) & results.series.isin(names) & (results.position == 0)
    ].reset_index(drop=True)
    rows.insert(0, "experiment", experiment)
    rows.insert(1, "preset", str(summary.settings["model"]["preset"]))
    rows.insert(2, "parameters", summary.parameters)
    rows.insert(3, "total_tokens", design.total_tokens)
    return rows


@dataclass(frozen=True)
class GridRow:
    """XE at one size, total and K, nats per token.

    Attributes
    ----------
    parameters : N, number of weights.
    total_tokens : D, per epoch.
    xe : by series, in the order of :func:`grid_series`; None where it was not measured.
    difference : of K and K = 1, in the series of
        :func:`ergokedro.reporting.results.effect_series`; None for K = 1.
    note : 'higher', 'lower' or 'not determined', after the correction for the family.
    """

    preset: str
    parameters: int
    total_tokens: int
    k: int
    xe: list[Estimate | None]
    difference: Estimate | None
    note: str


def grid_series(table: pd.DataFrame) -> list[str]:
    """The series that the report shows: of those that the grid has."""
    return [name for name in _SHOWN if ((table.series == name) & (table.quantity == "xe")).any()]


def grid_rows(table: pd.DataFrame, split: str = "test") -> list[GridRow]:
    """One row per size, total and K, ascending."""
    keys = ["parameters", "preset", "total_tokens", "k"]
    series, effect = grid_series(table), effect_series(table)
    rows = []
    for (parameters, preset, total, k), group in table[table.split == split].groupby(keys):
        row_of = {
            (row.quantity, row.series): row
            for row in group.itertuples()
            if row.series not in ("component", "set")
        }
        difference = row_of.get(("difference_to_k1", effect))
        rows.append(
            GridRow(
                preset,
                parameters,
                total,
                k,
                [_estimate(row_of.get(("xe", name))) for name in series],
                _estimate(difference),
                "" if difference is None else str(difference.note),
            )
        )
    return rows


def _estimate(row: object) -> Estimate | None:
    return None if row is None else Estimate.of(row)


def windows_differ(table: pd.DataFrame) -> bool:
    """Whether the experiments were measured on different numbers of held-out windows."""
    rows = table[(table.quantity == "xe") & (table.series == "all")]
    return bool((rows.groupby("split").windows.nunique() > 1).any())


def plot_grid(table: pd.DataFrame, split: str = "test") -> Figure:
    """XE, and its difference to K = 1, against D: a column per size."""
    series = effect_series(table)
    shown = table[(table.split == split) & (table.series == series)]
    sizes = list(shown.groupby(["parameters", "preset"]).groups)
    figure, axes = make_figure(len(sizes), rows=2, width=max(6.0, 4.5 * len(sizes)), height=8)
    components = n_components(table)
    for column, (parameters, preset) in enumerate(sizes):
        size = shown[(shown.parameters == parameters) & (shown.preset == preset)]
        upper, lower = axes[column], axes[len(sizes) + column]
        _draw(upper, size[size.quantity == "xe"], components)
        upper.set_title(f"{plain_text(shorten(preset))}: N = {parameters:,}", fontsize=10)
        _draw(lower, size[size.quantity == "difference_to_k1"], components)
        lower.axhline(0, color=MIDDLE, lw=0.8, linestyle=":")
        lower.set_title("K less K = 1, paired by window", fontsize=10)
    for row in (axes[: len(sizes)], axes[len(sizes) :]):
        ends = [axis.get_ylim() for axis in row]
        for axis in row:
            axis.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    axes[0].set_ylabel(XE_LABEL)
    axes[len(sizes)].set_ylabel(DIFFERENCE_LABEL)
    share_legend(figure, axes)
    averaged = {
        "balanced": "Mean over balanced sets of K components",
        "smallest": "Smallest component",
    }
    note = f"{averaged[series]}, {split} text.{interval_note(table, shown)}"
    figure.suptitle("\n".join(note.split(". ", 1)), fontsize=11)
    fit_fonts(figure)
    return figure


def _draw(axis: Axes, rows: pd.DataFrame, components: int) -> None:
    """One curve per K against D; each K a little to the right of the one before."""
    from matplotlib.ticker import EngFormatter

    for k, curve in rows.sort_values("total_tokens").groupby("k"):
        style = {"color": colour_of(k, components), "marker": category_marker(int(k) - 1)}
        beside = curve.assign(total_tokens=curve.total_tokens * _BESIDE ** (int(k) - 1))
        error_bars(axis, beside, f"K = {k}", x="total_tokens", **style)
    axis.set_xscale("log")
    axis.set_xticks(rows.total_tokens.unique())
    axis.minorticks_off()
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_xlabel("D, training tokens per epoch (log scale)")


def render_grid(
    table: pd.DataFrame, png: bytes, documents: pd.DataFrame | None = None
) -> tuple[str, str]:
    """The report as Markdown, which refers to the picture beside it, and as one HTML page.

    Parameters
    ----------
    documents : for the intervals of the law, see
        :func:`ergokedro.analysis.transfer.over_grid.runs_of_grid`.
    """
    content = _content(table, png, documents)
    return (
        rendering.render_markdown("grid.md.j2", **content),
        rendering.render_html("grid.html.j2", **content),
    )


def _content(table: pd.DataFrame, png: bytes, documents: pd.DataFrame | None) -> dict[str, object]:
    return {
        "rows": grid_rows(table),
        "series": grid_series(table),
        "effect": effect_series(table),
        "windows_differ": windows_differ(table),
        "experiments": sorted(table.experiment.unique()),
        "laws": [
            {
                "preset": law.preset,
                "parameters": [
                    (name, *(_law_estimate(law, quantity, name) for quantity in ("E", "alpha")))
                    for name in law.fit.components
                ],
                "components": law.fit.components,
                "worth": _worth(law),
                "errors": list(law.errors.itertuples()),
                "documents": law.documents,
            }
            for law in laws_over_grid(table, documents)
        ],
        "picture": Picture.read(_PICTURE, "Cross entropy against K, D and N", png),
    }


def _worth(law: GridLaw) -> list[list[str]]:
    """tau: for every component, of every component; '?' where the runs do not determine it."""
    names = law.fit.components

    def cell(name: str, source: str) -> str:
        if name == source:
            return "1"
        estimate = _law_estimate(law, "tau", name, source)
        return Markup(rendering.interval(estimate, ".2f", "?"))  # numbers, which need no escape

    return [[cell(name, source) for source in names] for name in names]


def _law_estimate(law: GridLaw, quantity: str, component: str, source: str = "") -> Estimate | None:
    """A parameter of the law, or None where the runs do not determine it."""
    estimate = law.fit.estimate(quantity, component, source)
    value, low, high, _ = estimate.interval
    return Estimate(value, low, high) if estimate.determined else None
