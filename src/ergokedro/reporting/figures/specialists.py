"""Specialists beside models of K with as much text of a component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ergokedro.design.mixture import Design
from ergokedro.reporting.figures.axes import error_bars, make_figure, share_legend
from ergokedro.reporting.figures.style import DARK, XE_LABEL, colour_of
from ergokedro.reporting.results import n_components, pick_rows
from ergokedro.reporting.text import plain_text, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
# Models of K are drawn a little to the right of the specialist with as many tokens.
_ASIDE = 1.03


def plot_specialists(results: pd.DataFrame, design: Design, split: str = "test") -> Figure:
    """XE on every component against its training tokens: specialists, and models of K.

    Parameters
    ----------
    design : of its D tokens, a component gives D / K.
    """
    alone = pick_rows(results, "specialist_xe", "component", split)
    shared = pick_rows(results, "xe", "component", split)
    shared = shared[shared.trained.astype(bool)]
    components = list(dict.fromkeys(alone.component))
    columns = min(_COLUMNS, len(components))
    rows = -(-len(components) // columns)
    figure, axes = make_figure(columns, rows=rows, height=0.8 + 3.4 * rows)
    total, of_all = design.total_tokens, n_components(results)
    for axis, name in zip(axes, components, strict=False):
        own, of_k = (table[table.component == name] for table in (alone, shared))
        _draw_component(axis, own, of_k, total, of_all)
        axis.set_title(plain_text(shorten(name)), fontsize=10)
    share_legend(figure, axes)
    for axis in axes[len(components) :]:
        axis.set_axis_off()
    figure.suptitle(
        f"Specialists and models of K by the tokens of a component, on {split} text "
        f"(D = {total:,} tokens; bars: intervals over documents, not paired)",
        fontsize=11,
    )
    return figure


def _draw_component(
    axis: Axes, own: pd.DataFrame, of_k: pd.DataFrame, total: int, components: int
) -> None:
    own = own.sort_values("tokens")
    error_bars(axis, own, "specialist", x="tokens", color=DARK, marker="o")
    for k, rows in of_k.assign(tokens=_ASIDE * of_k.tokens).groupby("k"):
        style = {"color": colour_of(k, components), "marker": "D"}
        error_bars(axis, rows, f"model of K = {k}", x="tokens", **style)
    axis.set_xscale("log")
    axis.set_xticks(own.tokens, [_share_of_d(total / tokens) for tokens in own.tokens])
    axis.minorticks_off()
    axis.set_xlabel("its training tokens (log scale)")
    axis.set_ylabel(XE_LABEL)


def _share_of_d(divisor: float) -> str:
    """'D' or 'D/3'."""
    return "D" if round(divisor) == 1 else f"D/{divisor:.3g}"
