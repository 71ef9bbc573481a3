"""Where the cost of K comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.axes import (
    band,
    error_bars,
    k_axis,
    make_figure,
    position_axis,
)
from ergokedro.reporting.figures.plotly_parts import errors, titled
from ergokedro.reporting.figures.style import (
    BLACK,
    DARK,
    INK,
    K_LABEL,
    MIDDLE,
    category_style,
    colour_of,
    term_styles,
)
from ergokedro.reporting.results import (
    component_names,
    knows_sources,
    n_components,
    pick_rows,
)
from ergokedro.reporting.text import plain_text, shorten

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BOUND = "most that not knowing the component can cost"
_SUM = "cost of K, the sum"


def plot_decomposition(results: pd.DataFrame, split: str = "test") -> Figure:
    """Where the cost of K comes from, and how the component is recognised along the window."""
    figure, axes = make_figure(2, rows=2, height=8)
    _draw_stack(axes[0], results, split)
    _draw_own(axes[1], results, split)
    _draw_cumulative(axes[2], results, split)
    _draw_naming(axes[3], results, split)
    for axis in axes[:2]:
        k_axis(axis, pick_rows(results, "cost", "chain", split).k.unique())
    for axis in axes[2:]:
        position_axis(
            axis, int(pick_rows(results, "naming_accuracy", "chain", split).position.max())
        )
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.5 * (high - low))  # room for the legend above the bars
    for axis in axes:
        axis.legend(frameon=False, fontsize=8)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(
        f"Where the cost of K comes from, on {split} text of the components trained on "
        "(bars and bands: intervals over documents)",
        fontsize=11,
    )
    return figure


def _draw_stack(axis: Axes, results: pd.DataFrame, split: str) -> None:
    """Terms stacked upwards where they cost and downwards where they save."""
    cost = pick_rows(results, "cost", "chain", split)
    above, below = np.zeros(len(cost)), np.zeros(len(cost))
    for name, (label, colour, _) in term_styles(knows_sources(results)).items():
        value = pick_rows(results, name, "chain", split).value.to_numpy()
        bottom = np.where(value >= 0, above, below)
        axis.bar(cost.k, value, 0.6, bottom=bottom, color=colour, label=label)
        above, below = above + value.clip(min=0), below + value.clip(max=0)
    error_bars(axis, cost, _SUM, color=INK, marker="D", ls="none", markersize=4)
    k, most = _identification_bound(results, split)
    axis.hlines(most, k - 0.38, k + 0.38, INK, lw=1.5, label=_BOUND)
    axis.axhline(0, color=MIDDLE, lw=0.8)
    axis.set_title("cost of K over specialists with all D tokens", fontsize=10)
    axis.set_ylabel("nats per token")


def _identification_bound(results: pd.DataFrame, split: str) -> tuple[pd.Series, np.ndarray]:
    """K, and the most that identification can cost on top of starvation."""
    bound = pick_rows(results, "identification_bound", "chain", split)
    starvation = pick_rows(results, "starvation", "chain", split)
    return bound.k, starvation.value.to_numpy() + bound.value.to_numpy()


def _draw_own(axis: Axes, results: pd.DataFrame, split: str) -> None:
    """One model for all, beside a specialist with the same text of the component."""
    rows = pick_rows(results, "others_worth", "component", split)
    for index, name in enumerate(component_names(results)):
        worth = rows[rows.component == name]
        if len(worth):
            error_bars(axis, worth, plain_text(shorten(name)), **category_style(index))
    axis.axhline(0, color=MIDDLE, lw=0.8, ls=":", label="no difference")
    axis.set_title("what the others' text is worth beside a specialist at D / K", fontsize=10)
    axis.set_ylabel("specialist less model of K, nats per token")


def _draw_cumulative(axis: Axes, results: pd.DataFrame, split: str) -> None:
    components = n_components(results)
    for k, curve in pick_rows(results, "cumulative_identification", "chain", split).groupby("k"):
        band(axis, curve, f"K = {k}", colour_of(k, components))
        axis.axhline(np.log(k), color=colour_of(k, components), lw=1, ls="--")
    for k, curve in pick_rows(results, "cumulative_excess", "chain", split).groupby("k"):
        style = {"color": colour_of(k, components), "lw": 1.2, "ls": ":"}
        axis.plot(curve.position, curve.value, **style)
    axis.plot([], [], color=DARK, lw=1, ls="--", label="log K")
    axis.plot([], [], color=DARK, lw=1.2, ls=":", label="model of K less specialist")
    axis.set_title("mixture of specialists less the right one, summed up to t", fontsize=10)
    axis.set_ylabel("nats")


def _draw_naming(axis: Axes, results: pd.DataFrame, split: str) -> None:
    for k, curve in pick_rows(results, "naming_accuracy", "chain", split).groupby("k"):
        band(axis, curve, f"K = {k}", colour_of(k, n_components(results)))
    axis.set_ylim(0, 1.02)
    axis.set_title("windows whose component is identified correctly before t", fontsize=10)
    axis.set_ylabel("share of windows")


def plotly_decomposition(results: pd.DataFrame, split: str = "test") -> go.Figure:
    """The terms of the cost of K, stacked, their sum, and the bound on identification."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, (label, colour, _) in term_styles(knows_sources(results)).items():
        rows = pick_rows(results, name, "chain", split)
        figure.add_bar(
            x=rows.k,
            y=rows.value,
            name=label,
            marker_color=colour,
            customdata=rows[["low", "high"]],
            hovertemplate="%{y:.4f} [%{customdata[0]:.4f}, %{customdata[1]:.4f}]",
        )
    cost = pick_rows(results, "cost", "chain", split)
    markers = {"mode": "markers", "marker": {"color": BLACK, "symbol": "diamond"}}
    figure.add_scatter(x=cost.k, y=cost.value, error_y=errors(cost), name=_SUM, **markers)
    k, most = _identification_bound(results, split)
    dashes = {"mode": "markers", "marker": {"symbol": "line-ew-open", "size": 30, "color": BLACK}}
    figure.add_scatter(x=k, y=most, name=_BOUND, **dashes)
    figure.update_layout(barmode="relative")
    figure.update_xaxes(title_text=K_LABEL, dtick=1)
    figure.update_yaxes(title_text="nats per token")
    return titled(figure, f"Cost of K over specialists with all D tokens, {split} text")
