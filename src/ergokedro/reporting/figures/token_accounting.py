"""The corpus: the text of every category, which are chosen, and how long documents are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.design.mixture import Design
from ergokedro.reporting.figures.chart import Axis, Bars, Chart, Curve, Level
from ergokedro.reporting.figures.style import GRID, LIGHT, category_colour, category_marker

_MOST = 10  # categories in a figure, unless more are chosen


def plot_token_accounting(token_accounting: pd.DataFrame, design: Design) -> Chart:
    """Training tokens of the components, in their order, and of the largest other categories.

    Parameters
    ----------
    token_accounting : of :func:`ergokedro.design.accounting.token_accounting`.
    design : tells which categories were chosen and why, and D.
    """
    train, left_out = _shown(token_accounting, design)
    size, unit = (1e6, "millions") if train.tokens.max() >= 1e6 else (1e3, "thousands")
    tokens, removed = train.tokens / size, (train.tokens_before - train.tokens) / size
    smallest = design.components[0]
    return Chart(
        f"Every K gets D = {design.total_tokens:,} tokens; {smallest}, the smallest of "
        f"{len(design.components)} components, has {train.tokens.iloc[0]:,}",
        f"Training tokens, {unit}. Components: {design.reason}.{left_out}",
        Axis("category, components first", "category", train.label.to_list()),
        _bars(tokens.to_numpy(), removed.to_numpy(), len(design.components)),
        levels=[Level(design.total_tokens / size, "D")],
        zero=True,
    )


def plot_document_lengths(token_accounting: pd.DataFrame, design: Design) -> Chart:
    """Tokens of the training documents of the same categories, beside the window.

    Parameters
    ----------
    token_accounting, design : as for :func:`plot_token_accounting`.
    """
    train, left_out = _shown(token_accounting, design)
    chosen, window = len(design.components), design.window_length
    medians = train["median"].head(chosen)
    ends = dict.fromkeys(f"{value:,.0f}" for value in (medians.min(), medians.max()))
    return Chart(
        f"The median document of a component has {' to '.join(ends)} tokens, a window {window:,}",
        f"Tokens in a training document: median, and bars from 5 % to 95 % of documents.{left_out}",
        Axis("category, components first", "category", train.label.to_list()),
        [_length(row, index, index < chosen) for index, row in enumerate(train.to_dict("records"))],
        levels=[Level(window, "window")],
        zero=True,
    )


def _shown(token_accounting: pd.DataFrame, design: Design) -> tuple[pd.DataFrame, str]:
    """Training rows of components and of the largest other categories; a sentence on the rest."""
    train = token_accounting[token_accounting.rank_by_tokens.notna()]
    train = train[train.unknown_label == 0]  # of categories; it counts documents without one
    train = train.sort_values("tokens", ascending=False, kind="stable").set_index("label")
    others = [label for label in train.index if label not in design.components]
    fit = max(0, _MOST - len(design.components))
    left_out = f" Smaller categories not shown: {len(others) - fit}." * (len(others) > fit)
    return train.loc[[*design.components, *others[:fit]]].reset_index(), left_out


def _bars(tokens: np.ndarray, removed: np.ndarray, chosen: int) -> list[Bars]:
    """One bar for each component in its colour, all others in grey; on them what was removed."""
    x, base = np.arange(len(tokens), dtype=np.float64), np.zeros(len(tokens))
    bars = [
        Bars("", x[[index]], tokens[[index]], base[[index]], category_colour(index))
        for index in range(chosen)
    ]
    if len(tokens) > chosen:
        bars.append(Bars("not chosen", x[chosen:], tokens[chosen:], base[chosen:], LIGHT))
    if removed.any():
        bars.append(Bars("removed by cleaning", x, removed, tokens, GRID))
    return bars


def _length(row: dict[str, float], index: int, chosen: bool) -> Curve:
    """The median, and the ends of the bar, of the category at `index`."""
    x, median, low, high = (
        np.array([number], dtype=np.float64)
        for number in (index, row["median"], row["p05"], row["p95"])
    )
    colour, marker = (category_colour(index), category_marker(index)) if chosen else (LIGHT, "o")
    return Curve("", x, median, low, high, colour, marker, line="none")
