"""Parts that several figures are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.style import K_LABEL, POSITION_LABEL
from ergokedro.reporting.text import plain_text, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
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


def band(axis: Axes, curve: pd.DataFrame, label: str, colour: Any, alpha: float = 0.12) -> None:
    """A curve over positions with its interval."""
    axis.plot(curve.position, curve.value, color=colour, lw=1.4, label=label)
    axis.fill_between(curve.position, curve.low, curve.high, color=colour, alpha=alpha, lw=0)


def k_axis(axis: Axes, ks: Iterable[int]) -> None:
    """The horizontal axis is K."""
    axis.set_xticks(sorted(ks))
    axis.set_xlabel(K_LABEL)


def position_axis(axis: Axes, last: int, label: str = POSITION_LABEL) -> None:
    """The horizontal axis is the position in the window, or another one, up to `last`."""
    ticks = [t for t in _TICKS if t <= last]
    axis.set_xscale("log")
    axis.set_xticks(ticks, [str(t) for t in ticks])
    axis.minorticks_off()
    axis.set_xlabel(label)


def label_components(axis: Any, names: list[str]) -> None:
    """The ticks of an axis (`axes.xaxis` or `axes.yaxis`) are components."""
    labels = [shorten(name) for name in names]
    axis.set_ticks(range(len(labels)), [plain_text(label) for label in labels])
    if axis.axis_name == "x" and max(map(len, labels)) > _LONG_LABEL:
        for text in axis.get_ticklabels():
            text.set(rotation=30, ha="right", rotation_mode="anchor")


def draw_heatmap(
    figure: Figure, axis: Axes, values: pd.DataFrame, label: str, bold: pd.DataFrame
) -> None:
    """Values as colours and as numbers, those of `bold` in bold; darker is more, '?' is NaN."""
    image = axis.imshow(values, cmap="cividis_r", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    for row, column in np.ndindex(values.shape):
        value = values.iloc[row, column]
        axis.text(
            column,
            row,
            "?" if np.isnan(value) else f"{value:.3f}",
            ha="center",
            va="center",
            color="white" if value > middle else "black",
            weight="bold" if bold.iloc[row, column] else "normal",
        )
    figure.colorbar(image, label=label)
