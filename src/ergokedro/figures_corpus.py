"""The picture of the corpus: tokens per category, the chosen components and the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ergokedro.mixture import Design

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_CHOSEN, _OTHER, _BUDGET = "#0072B2", "#BBBBBB", "#D55E00"


def plot_accounting(accounting: pd.DataFrame, design: Design) -> Figure:
    """Training tokens per category and their document lengths, as a matplotlib figure.

    Parameters
    ----------
    accounting : of :func:`ergokedro.mixture.token_accounting`.
    design : tells which categories were chosen, and D.
    """
    from matplotlib.figure import Figure

    train = accounting[accounting.split == "train"].sort_values("tokens")
    rows = range(len(train))
    colours = [_CHOSEN if label in design.components else _OTHER for label in train.label]
    figure = Figure(figsize=(9, 1.6 + 0.42 * len(train)), layout="constrained")
    volume, lengths = figure.subplots(1, 2, sharey=True)

    volume.barh(rows, train.tokens / 1e6, color=colours)
    for row, (tokens, documents) in enumerate(zip(train.tokens, train.documents, strict=True)):
        volume.annotate(
            f" {tokens / 1e6:,.2f} M in {documents:,} documents", (tokens / 1e6, row), va="center"
        )
    volume.axvline(design.total_tokens / 1e6, color=_BUDGET, linestyle="--")
    volume.set_yticks(rows, train.label)
    volume.set_xlim(0, train.tokens.max() / 1e6 * 1.7)
    volume.set_xlabel("training tokens after cleaning, millions")
    volume.set_title(
        f"chosen (blue): {design.reason}\nbudget D of every K (dashed): "
        f"{design.total_tokens:,} tokens",
        fontsize=9,
        loc="left",
    )

    lengths.hlines(rows, train.p05, train.p95, color=colours, linewidth=5)
    lengths.plot(train["median"], rows, "o", color="black", markersize=5)
    # Documents of one length would leave a logarithmic axis without a single tick.
    if train.p95.max() > 2 * train.p05.min():
        lengths.set_xscale("log")
    else:
        lengths.set_xlim(0, train.p95.max() * 1.2)
    lengths.set_xlabel("tokens in a document: 5 %, median, 95 %")
    for axes in (volume, lengths):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
