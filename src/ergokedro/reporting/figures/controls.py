"""The series of the control runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ergokedro.reporting.figures.axes import error_bars, k_axis, make_figure, share_legend
from ergokedro.reporting.figures.style import CONTROL_SERIES, DARK, MIDDLE, XE_LABEL
from ergokedro.reporting.results import pick_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_controls(results: pd.DataFrame, split: str = "test") -> Figure:
    """XE of every control series against K, and its paired differences to K = 1."""
    figure, axes = make_figure(2)
    for series, (label, colour, marker) in CONTROL_SERIES.items():
        for axis, quantity in zip(axes, ("xe", "difference_to_k1"), strict=True):
            rows = pick_rows(results, quantity, series, split)
            if len(rows):
                # No line over a K that was not run.
                line = "-" if (rows.k.diff().dropna() == 1).all() else "none"
                error_bars(axis, rows, label, color=colour, marker=marker, ls=line)
    seeds = pick_rows(results, "xe", "seeds", split)
    if len(seeds):
        axes[0].plot(seeds.k, seeds.value, "x", color=DARK, label="chain, each seed")
    axes[1].axhline(0, color=MIDDLE, lw=0.8, ls=":", label="no difference")
    axes[0].set_ylabel(XE_LABEL)
    axes[1].set_ylabel("difference to K = 1, nats per token")
    for axis in axes:
        k_axis(axis, results.k.unique())
    share_legend(figure, axes, columns=3)
    figure.suptitle(f"Controls on {split} text (bars: document bootstrap)", fontsize=11)
    return figure
