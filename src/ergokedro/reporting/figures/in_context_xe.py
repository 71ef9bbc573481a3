"""Cross entropy in context: L(t) of every K."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ergokedro.reporting.figures.axes import make_figure, position_axis
from ergokedro.reporting.figures.plotly_parts import errors, panels, titled
from ergokedro.reporting.figures.reference_lines import add_references, draw_references
from ergokedro.reporting.figures.style import DARK, POSITION_LABEL, SERIES, XE_LABEL, colour_of
from ergokedro.reporting.references import on_series
from ergokedro.reporting.results import n_components, pick_rows

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHOWN = ("chain", "smallest")
_PLOTLY_TICKS = {"type": "log", "tickvals": [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]}


def plot_in_context_xe(results: pd.DataFrame, split: str = "test") -> Figure:
    """L(t) of every K in bins of t: the series chain beside the smallest component alone."""
    figure, axes = make_figure(2)
    for axis, series in zip(axes, _SHOWN, strict=True):
        curves = pick_rows(results, "binned_in_context_xe", series, split)
        exact = pick_rows(results, "exact_binned_in_context_xe", series, split)
        _draw_curves(axis, curves, exact, n_components(results))
        draw_references(axis, _references(results, series, split), "position")
        position_axis(axis, int(curves.position.max()))
        axis.set_title(SERIES[series].label, fontsize=10)
        axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("L(t): " + XE_LABEL)
    figure.suptitle(
        f"Cross entropy in context on {split} text (means over bins of positions that widen; "
        "bands: intervals over documents)",
        fontsize=11,
    )
    return figure


def _references(results: pd.DataFrame, series: str, split: str) -> pd.DataFrame:
    """Published models on the text of the largest K."""
    rows = on_series(results, "binned_in_context_xe", series, split)
    return rows[rows.k == rows.k.max()]


def _draw_curves(axis: Axes, curves: pd.DataFrame, exact: pd.DataFrame, components: int) -> None:
    for k, curve in curves.groupby("k"):
        colour = colour_of(k, components)
        axis.plot(curve.position, curve.value, color=colour, label=f"K = {k}", lw=1.4, marker=".")
        axis.fill_between(curve.position, curve.low, curve.high, color=colour, alpha=0.08, lw=0)
        best = exact[exact.k == k]
        axis.plot(best.position, best.value, color=colour, lw=1.2, linestyle="--")
    if not exact.empty:
        axis.plot([], [], color=DARK, lw=1.2, linestyle="--", label="exact optimum of K")


def plotly_in_context_xe(results: pd.DataFrame, split: str = "test") -> go.Figure:
    """L(t) of every K in bins of t, dashed the optimum: series chain, and smallest component."""
    figure = panels([SERIES[name].label for name in _SHOWN])
    for column, series in enumerate(_SHOWN, start=1):
        position = {"row": 1, "col": column}
        _add_curves(figure, results, series, split, position)
        add_references(figure, _references(results, series, split), "position", position)
        figure.update_xaxes(title_text=POSITION_LABEL, **_PLOTLY_TICKS, **position)
    figure.update_yaxes(title_text=f"L(t): {XE_LABEL}", row=1, col=1)
    known = pick_rows(results, "exact_xe", "chain", split)
    dashed = "" if known.empty else " (dashed: exact optimum)"
    return titled(figure, f"Cross entropy in context on {split} text{dashed}")


def _add_curves(
    figure: go.Figure, results: pd.DataFrame, series: str, split: str, position: dict[str, Any]
) -> None:
    from matplotlib.colors import to_hex

    curves = pick_rows(results, "binned_in_context_xe", series, split)
    exact = pick_rows(results, "exact_binned_in_context_xe", series, split)
    for k, curve in curves.groupby("k"):
        colour = to_hex(colour_of(k, n_components(results)))
        common = {"legendgroup": f"K = {k}", **position}
        figure.add_scatter(
            x=curve.position,
            y=curve.value,
            error_y=errors(curve) | {"thickness": 1, "width": 2},
            name=f"K = {k}",
            showlegend=position["col"] == 1,
            line={"color": colour},
            **common,
        )
        best = exact[exact.k == k]
        if not best.empty:
            figure.add_scatter(
                x=best.position,
                y=best.value,
                mode="lines",
                name=f"K = {k}: exact optimum (dashed)",
                showlegend=False,
                line={"color": colour, "dash": "dash"},
                **common,
            )
