"""Learning curves: training loss and validation cross entropy against tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ergokedro.analysis.convergence import validation_curve
from ergokedro.design.mixture import Design
from ergokedro.reporting.figures.axes import make_figure, share_legend
from ergokedro.reporting.figures.style import (
    DARK,
    DIFFERENCE_LABEL,
    MIDDLE,
    XE_LABEL,
    colour_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = (
    "training loss, running mean over 5 % of the run",
    "validation text, mean over the components trained on",
    "validation text, smallest component alone",
    "gap: validation (components trained on) less training loss",
)


def plot_learning_curves(design: Design, histories: Mapping[int, pd.DataFrame]) -> Figure:
    """Training loss, validation XE in two series, and the gap, against tokens.

    Parameters
    ----------
    design : its components in order; K trains on the first K.
    histories : K -> history.
    """
    figure, axes = make_figure(2, rows=2, height=8)
    ends = []
    for k, history in histories.items():
        curves = _learning_curves(history, design.components[:k])
        colour = colour_of(k, len(design.components))
        for axis, curve, marker in zip(axes, curves, ("", ".", ".", "."), strict=True):
            style = {"color": colour, "marker": marker, "lw": 1.4}
            axis.plot(curve.index / 1e6, curve, label=f"K = {k}", **style)
        ends.append(curves[2].iloc[-1])
    _scale(axes)
    axes[2].axhline(max(ends), color=DARK, lw=1, ls="--", label="level that every K reaches")
    axes[3].axhline(0, color=MIDDLE, lw=0.8, ls=":", label="no difference")
    for axis, title in zip(axes, _TITLES, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("training tokens seen, millions")
        axis.set_xlim(left=0)
    share_legend(figure, axes)
    figure.suptitle("Learning curves (a steep start lies outside the axes)", fontsize=11)
    return figure


def _learning_curves(history: pd.DataFrame, components: list[str]) -> list[pd.Series]:
    """Curves by tokens seen.

    Returns
    -------
    Smoothed training loss; validation XE, mean over `components` and of the first of them; and the
    gap of the former to the training loss.
    """
    points = history[history.metric == "train_loss"].set_index("tokens").value
    loss = points.rolling(max(1, len(points) // 20)).mean()
    held_out = validation_curve(history, components)
    later = held_out[held_out.index >= loss.first_valid_index()]
    gap = later - np.interp(later.index, loss.index, loss)
    return [loss, held_out, validation_curve(history, components[:1]), gap]


def _scale(axes: np.ndarray) -> None:
    """The three panels of XE share one scale."""
    for axis in axes[:3]:
        axis.set_ylim(*_readable_range(axes[:3]))
        axis.set_ylabel(XE_LABEL)
    axes[3].set_ylim(*_readable_range(axes[3:]))
    axes[3].set_ylabel(DIFFERENCE_LABEL)


def _readable_range(axes: np.ndarray) -> tuple[float, float]:
    """The range of all curves without their first eighth, which would flatten the rest."""
    curves = [np.asarray(line.get_ydata(orig=False)) for axis in axes for line in axis.lines]
    late = np.concatenate([curve[len(curve) // 8 :] for curve in curves])
    low, high = float(np.nanmin(late)), float(np.nanmax(late))
    margin = 0.05 * (high - low)
    return low - margin, high + margin
