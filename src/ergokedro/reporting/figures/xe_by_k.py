"""The headline figure: cross entropy against K."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ergokedro.reporting.figures.axes import error_bars, k_axis, make_figure
from ergokedro.reporting.figures.plotly_parts import errors, panels, titled
from ergokedro.reporting.figures.reference_lines import add_references, draw_references
from ergokedro.reporting.figures.style import (
    BLACK,
    DARK,
    DIFFERENCE_LABEL,
    K_LABEL,
    MIDDLE,
    SERIES,
    XE_LABEL,
)
from ergokedro.reporting.references import on_series
from ergokedro.reporting.results import pick_rows, run_ks

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_xe_by_k(results: pd.DataFrame, split: str = "test") -> Figure:
    """XE against K, one panel for each series, and the differences that are paired by window."""
    figure, axes = make_figure(2, rows=2, height=8)
    for axis, series in zip(axes, SERIES, strict=False):
        _draw_series(axis, results, series, split)
    seeds = pick_rows(results, "xe", "seeds", split)
    if not seeds.empty:
        axes[0].plot(seeds.k + 0.12, seeds.value, "x", color=DARK, label="each seed")
    _draw_paired(axes[3], results, split)
    ks = run_ks(results)
    for axis in axes:
        k_axis(axis, ks)
        axis.set_xlim(ks[0] - 0.4, ks[-1] + 0.4)
        axis.legend(frameon=False, fontsize=8)
    low, high = axes[3].get_ylim()
    axes[3].set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    axes[3].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(
        f"Cross entropy on {split} text, at equal totals of training tokens "
        "(bars: intervals over documents; each panel has its own scale)",
        fontsize=11,
    )
    return figure


def _draw_series(axis: Axes, results: pd.DataFrame, series: str, split: str) -> None:
    label, colour, marker = SERIES[series]
    exact = pick_rows(results, "exact_xe", series, split)
    if not exact.empty:
        axis.plot(exact.k, exact.value, "k_", markersize=14, mew=2, label="exact optimum")
    xe = pick_rows(results, "xe", series, split)
    error_bars(axis, xe, "trained model", color=colour, marker=marker)
    draw_references(axis, on_series(results, "xe", series, split), "k")
    axis.set_title(label, fontsize=10)
    axis.set_ylabel(XE_LABEL)


def _draw_paired(axis: Axes, results: pd.DataFrame, split: str) -> None:
    """Differences on the same windows, whose intervals are far narrower than those of XE."""
    for quantity, series, label in (
        ("excess", "chain", "components trained on: trained model less exact optimum"),
        ("difference_to_k1", "smallest", "smallest component: K less K = 1"),
    ):
        rows = pick_rows(results, quantity, series, split)
        if not rows.empty:
            _, colour, marker = SERIES[series]
            error_bars(axis, rows, label, color=colour, marker=marker)
    axis.axhline(0, color=MIDDLE, lw=0.8, linestyle=":", label="no difference")
    axis.set_title("differences, paired by window", fontsize=10)
    axis.set_ylabel(DIFFERENCE_LABEL)


def plotly_xe_by_k(results: pd.DataFrame, split: str = "test") -> go.Figure:
    """The headline figure, interactive: one panel for each series."""
    figure = panels([style.label for style in SERIES.values()])
    for column, series in enumerate(SERIES, start=1):
        position = {"row": 1, "col": column}
        xe = pick_rows(results, "xe", series, split)
        figure.add_scatter(
            x=xe.k,
            y=xe.value,
            error_y=errors(xe),
            line={"color": SERIES[series].colour},
            name="trained model",
            showlegend=False,
            **position,
        )
        exact = pick_rows(results, "exact_xe", series, split)
        if not exact.empty:
            figure.add_scatter(
                x=exact.k,
                y=exact.value,
                mode="markers",
                marker={"symbol": "line-ew-open", "size": 14, "color": BLACK},
                name="exact optimum (dash)",
                showlegend=column == 1,
                **position,
            )
        add_references(figure, on_series(results, "xe", series, split), "k", position)
        figure.update_xaxes(title_text=K_LABEL, dtick=1, **position)
    figure.update_yaxes(title_text=XE_LABEL, row=1, col=1)
    return titled(figure, f"Cross entropy on {split} text, at equal totals of training tokens")
