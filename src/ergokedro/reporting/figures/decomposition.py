"""Figures of the decomposition and of the controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.common import (
    K_LABEL,
    colour_of,
    error_bars,
    make_figure,
    n_components,
    pick_rows,
    share_legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Title and colour (Okabe and Ito's palette) of every term, in the order in which they are stacked.
TERM_STYLES = {
    "starvation": ("starvation: less text of its own", "#E69F00"),
    "identification": ("identification: which component is it?", "#56B4E9"),
    "interference": ("interference less transfer: one model for all", "#CC79A7"),
}
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_CONTROLS = {
    "balanced": ("balanced: all subsets of size K", "#0072B2", "o"),
    "growing": ("growing total: fixed tokens for each component", "#D55E00", "s"),
    "pseudo": ("pseudo-components: parts of one component", "#009E73", "^"),
}


def plot_decomposition(results: pd.DataFrame, split: str = "test") -> Figure:
    """Where the cost of K comes from, and how the component is recognised along the window."""
    figure, axes = make_figure(2, rows=2, height=8)
    _draw_stack(axes[0], results, split)
    _draw_own(axes[1], results, split)
    _draw_cumulative(axes[2], results, split)
    _draw_naming(axes[3], results, split)
    for axis in axes[:2]:
        axis.set_xticks(sorted(pick_rows(results, "cost", "chain", split).k.unique()))
        axis.set_xlabel(K_LABEL)
    for axis in axes[2:]:
        axis.set_xscale("log")
        axis.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        axis.minorticks_off()
        axis.set_xlabel("position t in the window, tokens (log scale)")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.5 * (high - low))  # room for the legend above the bars
    for axis in axes:
        axis.legend(frameon=False, fontsize=8)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(
        f"Where the cost of K comes from, on {split} text of the components trained on "
        "(bars and bands: document bootstrap)",
        fontsize=11,
    )
    return figure


def _draw_stack(axis: Axes, results: pd.DataFrame, split: str) -> None:
    """Terms stacked upwards where they cost and downwards where they save."""
    cost = pick_rows(results, "cost", "chain", split)
    above, below = np.zeros(len(cost)), np.zeros(len(cost))
    for name, (label, colour) in TERM_STYLES.items():
        value = pick_rows(results, name, "chain", split).value.to_numpy()
        bottom = np.where(value >= 0, above, below)
        axis.bar(cost.k, value, 0.6, bottom=bottom, color=colour, label=label)
        above, below = above + value.clip(min=0), below + value.clip(max=0)
    error_bars(axis, cost, "cost of K, the sum", color="0.1", marker="D", ls="none", markersize=4)
    bound = pick_rows(results, "identification_bound", "chain", split)
    most = pick_rows(results, "starvation", "chain", split).value.to_numpy() + bound.value
    axis.hlines(
        most,
        bound.k - 0.38,
        bound.k + 0.38,
        "0.1",
        lw=1.5,
        label="most for identification: log K / (W - 1)",
    )
    axis.axhline(0, color="0.6", lw=0.8)
    axis.set_title("cost of K over specialists with all D tokens", fontsize=10)
    axis.set_ylabel("nats a token")


def _draw_own(axis: Axes, results: pd.DataFrame, split: str) -> None:
    """One model for all, beside a specialist with the same text of the component."""
    series = results[results.series == "component"].component
    for place, name in enumerate(dict.fromkeys(series)):
        worth = pick_rows(results[results.component == name], "others_worth", "component", split)
        if len(worth):
            style: dict[str, Any] = {
                "marker": "osD^v<>pX*"[place % 10],
                "color": _PALETTE[place % len(_PALETTE)],
            }
            error_bars(axis, worth, name, **style)
    axis.axhline(0, color="0.6", lw=0.8, ls=":", label="no difference")
    axis.set_title("what the others' text is worth beside a specialist at D / K", fontsize=10)
    axis.set_ylabel("specialist less model of K, nats a token")


def _draw_cumulative(axis: Axes, results: pd.DataFrame, split: str) -> None:
    curves = pick_rows(results, "cumulative_identification", "chain", split)
    for k in curves.k.unique():
        _band(axis, curves[curves.k == k], f"K = {k}", colour_of(k, n_components(results)))
        axis.axhline(np.log(k), color=colour_of(k, n_components(results)), lw=1, ls="--")
    excess = pick_rows(results, "cumulative_excess", "chain", split)
    for k, curve in excess.groupby("k"):
        colour = colour_of(k, n_components(results))
        axis.plot(curve.position, curve.value, color=colour, lw=1.2, ls=":")
    axis.plot([], [], color="0.3", lw=1, ls="--", label="log K")
    axis.plot([], [], color="0.3", lw=1.2, ls=":", label="model of K less specialist")
    axis.set_title("mixture of specialists less the right one, summed up to t", fontsize=10)
    axis.set_ylabel("nats")


def _draw_naming(axis: Axes, results: pd.DataFrame, split: str) -> None:
    curves = pick_rows(results, "naming_accuracy", "chain", split)
    for k in curves.k.unique():
        _band(axis, curves[curves.k == k], f"K = {k}", colour_of(k, n_components(results)))
    axis.set_ylim(0, 1.02)
    axis.set_title("windows whose component is named rightly before t", fontsize=10)
    axis.set_ylabel("share of windows")


def _band(axis: Axes, curve: pd.DataFrame, label: str, colour: Any) -> None:
    axis.plot(curve.position, curve.value, color=colour, lw=1.4, label=label)
    axis.fill_between(curve.position, curve.low, curve.high, color=colour, alpha=0.12, lw=0)


def plot_controls(results: pd.DataFrame, split: str = "test") -> Figure:
    """XE of every control series against K, and its paired differences to K = 1."""
    figure, axes = make_figure(2)
    for series, (label, colour, marker) in _CONTROLS.items():
        for axis, quantity in zip(axes, ("xe", "difference_to_k1"), strict=True):
            rows = pick_rows(results, quantity, series, split)
            if len(rows):
                # No line over a K that was not run.
                line = "-" if (rows.k.diff().dropna() == 1).all() else "none"
                error_bars(axis, rows, label, color=colour, marker=marker, ls=line)
    seeds = pick_rows(results, "xe", "seeds", split)
    if len(seeds):
        axes[0].plot(seeds.k, seeds.value, "x", color="0.3", label="chain, each seed")
    axes[1].axhline(0, color="0.6", lw=0.8, ls=":", label="no difference")
    axes[0].set_ylabel("cross entropy, nats a token")
    axes[1].set_ylabel("difference to K = 1, nats a token")
    for axis in axes:
        axis.set_xticks(sorted(results.k.unique()))
        axis.set_xlabel(K_LABEL)
    share_legend(figure, axes, columns=3)
    figure.suptitle(f"Controls on {split} text (bars: document bootstrap)", fontsize=11)
    return figure
