"""Figures of the specialists: XE by tokens beside the models of K, and how components differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.common import (
    colour_of,
    draw_heatmap,
    error_bars,
    make_figure,
    n_components,
    pick_rows,
    share_legend,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
# Models of K are drawn a little to the right of the specialist with as many tokens.
_ASIDE = 1.03


def plot_specialists(results: pd.DataFrame, total_tokens: int, split: str = "test") -> Figure:
    """XE on every component against its training tokens: specialists, and models of K.

    Parameters
    ----------
    total_tokens : D; the component gives D / K.
    """
    alone = pick_rows(results, "specialist_xe", "component", split)
    shared = pick_rows(results, "xe", "component", split)
    components = list(dict.fromkeys(alone.component))
    columns = min(_COLUMNS, len(components))
    rows = -(-len(components) // columns)
    figure, axes = make_figure(columns, rows=rows, height=0.8 + 3.4 * rows)
    for axis, name in zip(axes, components, strict=False):
        own = alone[alone.component == name].sort_values("tokens")
        error_bars(axis, own, "specialist", x="tokens", color="0.2", marker="o")
        of_k = shared[(shared.component == name) & shared.trained.astype(bool)]
        for k, rows_of_k in of_k.assign(tokens=_ASIDE * of_k.tokens).groupby("k"):
            colour = colour_of(k, n_components(results))
            error_bars(axis, rows_of_k, f"model of K = {k}", x="tokens", color=colour, marker="D")
        axis.set_title(name, fontsize=10)
        axis.set_xscale("log")
        axis.set_xticks(own.tokens, [_share_of_d(total_tokens / n) for n in own.tokens])
        axis.minorticks_off()
        axis.set_xlabel("its training tokens (log scale)")
        axis.set_ylabel("cross entropy, nats a token")
    share_legend(figure, axes)
    for axis in axes[len(components) :]:
        axis.set_axis_off()
    figure.suptitle(
        f"Specialists and models of K with equally much text of a component, on {split} text "
        f"(D = {total_tokens:,} tokens; bars: document bootstrap, not paired)",
        fontsize=11,
    )
    return figure


def _share_of_d(divisor: float) -> str:
    """'D' or 'D/3'."""
    return "D" if round(divisor) == 1 else f"D/{divisor:.3g}"


def plot_distinguishability(results: pd.DataFrame, split: str = "test") -> Figure:
    """How much worse the specialist of another component reads a component's text."""
    table = distinguishability_matrix(results, "value", split)
    own = pd.DataFrame(np.eye(len(table), dtype=bool))
    figure, axes = make_figure(1, width=3 + 1.3 * len(table), height=1.8 + 0.6 * len(table))
    draw_heatmap(figure, axes[0], table, "nats a token over the own specialist", bold=own)
    axes[0].set_xticks(range(len(table)), list(table.columns))
    axes[0].set_yticks(range(len(table)), list(table.index))
    axes[0].set_xlabel("component that the specialist was trained on")
    axes[0].set_ylabel("component that is predicted")
    axes[0].set_title(
        f"{split} text; specialists with all D tokens; darker: easier to tell apart", fontsize=10
    )
    return figure


def distinguishability_matrix(results: pd.DataFrame, column: str, split: str) -> pd.DataFrame:
    """One column of the rows of `distinguishability`, component read by specialist's component."""
    rows = results[(results.quantity == "distinguishability") & (results.split == split)]
    trained_on = rows[rows.trained.astype(bool)].set_index("run").component
    table = rows.assign(specialist=rows.run.map(trained_on))
    order = list(trained_on)
    return table.pivot(index="component", columns="specialist", values=column).loc[order, order]
