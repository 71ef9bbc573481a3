"""Parts that several figures are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.style import K_LABEL
from ergokedro.reporting.text import plain_text, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONG_LABEL = 14  # characters that still fit below a column of a heatmap


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


def label_components(axis: Any, names: list[str]) -> None:
    """The ticks of an axis (`axes.xaxis` or `axes.yaxis`) are components."""
    labels = [shorten(name) for name in names]
    axis.set_ticks(range(len(labels)), [plain_text(label) for label in labels])
    if axis.axis_name == "x" and max(map(len, labels)) > _LONG_LABEL:
        for text in axis.get_ticklabels():
            text.set(rotation=30, ha="right", rotation_mode="anchor")
