"""The series of the control runs."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

import pandas as pd

from ergokedro.analysis.controls import CONTROLS
from ergokedro.reporting.figures.axes import error_bars, k_axis, make_figure, share_legend
from ergokedro.reporting.figures.style import (
    CONTROL_MARKERS,
    DARK,
    MIDDLE,
    XE_LABEL,
    category_style,
)
from ergokedro.reporting.results import pick_rows, run_ks
from ergokedro.reporting.text import plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ControlsWithSeries(Container[str]):
    """The names of all registered controls that have a series of their own."""

    def __contains__(self, name: object) -> bool:
        """Whether there is such a control; asked when pipelines are built, after all plugins."""
        return isinstance(name, str) and name in CONTROLS and bool(CONTROLS[name].series)


def plot_controls(results: pd.DataFrame, split: str = "test") -> Figure:
    """XE of every control series against K, and its paired differences to K = 1."""
    figure, axes = make_figure(2)
    controls = [control for control in CONTROLS.values() if control.series]
    for index, control in enumerate(controls):
        style = category_style(index, CONTROL_MARKERS)
        for axis, quantity in zip(axes, ("xe", "difference_to_k1"), strict=True):
            rows = pick_rows(results, quantity, control.series, split)
            _draw_series(axis, rows, plain_text(control.title), style)
    axes[1].axhline(0, color=MIDDLE, lw=0.8, ls=":", label="no difference")
    axes[0].set_ylabel(XE_LABEL)
    axes[1].set_ylabel("difference to K = 1, nats per token")
    for axis in axes:
        k_axis(axis, run_ks(results))
    share_legend(figure, axes, columns=3)
    figure.suptitle(f"Controls on {split} text (bars: 95 % intervals)", fontsize=11)
    return figure


def _draw_series(axis: Axes, rows: pd.DataFrame, label: str, style: dict[str, Any]) -> None:
    """One value per K with its interval, or a cross for each run where there are several."""
    if rows.empty:
        return
    if rows.k.duplicated().any():
        axis.plot(rows.k, rows.value, "x", color=DARK, label=label)
        return
    # No line over a K that was not run.
    line = "-" if (rows.k.diff().dropna() == 1).all() else "none"
    error_bars(axis, rows, label, ls=line, **style)
