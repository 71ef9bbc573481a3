"""The corpus: what every category holds, which are chosen, and the budget."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from ergokedro.design.accounting import RANKINGS
from ergokedro.design.mixture import Design
from ergokedro.reporting.figures.axes import label_components
from ergokedro.reporting.figures.style import BLACK, BLUE, LIGHT, ORANGE, VERMILION
from ergokedro.reporting.text import plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHOSEN, _RIVAL, _OTHER, _BUDGET = BLUE, ORANGE, LIGHT, VERMILION


def plot_token_accounting(token_accounting: pd.DataFrame, design: Design) -> Figure:
    """Training text per category by tokens and by documents, and document lengths.

    Filled bars are what cleaning leaves, outlines what the corpus held; numbers behind the bars
    begin with the category's rank. Categories that only the other ranking would choose are orange.

    Parameters
    ----------
    token_accounting : of :func:`ergokedro.design.accounting.token_accounting`.
    design : tells which categories were chosen and why, and D.
    """
    from matplotlib.figure import Figure

    train = token_accounting[token_accounting.split == "train"]
    train = train[train.unknown_label == 0]  # of categories; it counts documents without one
    train = train.sort_values(["tokens", "documents"]).reset_index(drop=True)
    colours = _colours(train, design)
    figure = Figure(figsize=(13, 2.2 + 0.42 * len(train)), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True, width_ratios=[1.2, 1, 0.9])
    for axes, by in zip(panels, RANKINGS, strict=False):
        _plot_volume(axes, train, by, colours)
    label_components(panels[0].yaxis, list(train.label))
    panels[0].axvline(
        design.total_tokens / _unit(train, "tokens")[0], color=_BUDGET, linestyle="--"
    )
    panels[0].set_title(f"dashed: D = {design.total_tokens:,} tokens, for every K", fontsize=9)
    panels[1].set_title("outline: before cleaning", fontsize=9)
    _plot_lengths(panels[2], train, colours)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    legend = "Components (blue): " + plain_text(design.reason)
    if _RIVAL in colours:
        legend += ". Orange: only another ranking would choose it"
    figure.suptitle(textwrap.fill(legend, 150), fontsize=10, x=0.01, ha="left")
    return figure


def _unit(train: pd.DataFrame, by: str) -> tuple[float, str]:
    """What the counts are divided by, and the name of the axis."""
    if by == "documents":
        return 1, "training documents"
    large = train.tokens.max() >= 1e6
    return (1e6, "training tokens, millions") if large else (1e3, "training tokens, thousands")


def _colours(train: pd.DataFrame, design: Design) -> list[str]:
    n = len(design.components)
    rivals = {label for ranking in design.rankings.values() for label in ranking[:n]}
    return [
        _CHOSEN if label in design.components else _RIVAL if label in rivals else _OTHER
        for label in train.label
    ]


def _plot_volume(axes: Axes, train: pd.DataFrame, by: str, colours: list[str]) -> None:
    unit, name = _unit(train, by)
    before, after = train[f"{by}_before"] / unit, train[by] / unit
    rows = range(len(train))
    axes.barh(rows, before, facecolor="none", edgecolor=BLACK, linewidth=0.8)
    axes.barh(rows, after, color=colours)
    digits = {1: 0, 1e3: 1, 1e6: 2}[unit]
    longest = float(max(before.max(), after.max()))
    for row, rank in enumerate(train[f"rank_by_{by}"]):
        position = "-" if pd.isna(rank) else f"{int(rank)}."
        label = f"{position}  {after[row]:,.{digits}f}"
        end = (max(before[row], after[row]), row)
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # hides the line at D
        axes.annotate(
            label, end, (4, 0), textcoords="offset points", va="center", fontsize=9, bbox=ground
        )
    axes.set_xlim(0, longest * 1.35)
    axes.set_xlabel(name)


def _plot_lengths(axes: Any, train: pd.DataFrame, colours: list[str]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    rows = range(len(train))
    axes.hlines(rows, train.p05, train.p95, color=colours, linewidth=5)
    axes.plot(train["median"], rows, "o", color=BLACK, markersize=5)
    # Documents of one length would leave a logarithmic axis without a single tick.
    if train.p95.max() > 2 * train.p05.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, train.p95.max() * 1.2)
    axes.set_xlabel("tokens in a document: 5 %, median, 95 %")
