"""Parts that several figures are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.style import K_LABEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def make_figure(
    columns: int, rows: int = 1, width: float = 11.0, height: float = 4.5
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def share_legend(figure: Figure, axes: np.ndarray, columns: int = 6) -> None:
    """One legend below all axes, off their data."""
    entries = [axis.get_legend_handles_labels() for axis in axes]
    shown = {label: handle for pair in entries for handle, label in zip(*pair, strict=True)}
    figure.legend(
        shown.values(), shown, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )


def error_bars(axis: Axes, rows: pd.DataFrame, label: str, x: str = "k", **style: Any) -> None:
    """Values of `rows` with their intervals against K, or column `x`; `style` is matplotlib's."""
    errors = [rows.value - rows.low, rows.high - rows.value]
    axis.errorbar(rows[x], rows.value, errors, capsize=3, lw=1, label=label, **style)


def k_axis(axis: Axes, ks: Iterable[int]) -> None:
    """The horizontal axis is K."""
    axis.set_xticks(sorted(ks))
    axis.set_xlabel(K_LABEL)
