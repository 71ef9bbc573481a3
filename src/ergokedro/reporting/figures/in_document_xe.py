"""Cross entropy by position in the document, of every K."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ergokedro.reporting.figures.axes import band, make_figure, position_axis
from ergokedro.reporting.figures.style import DOCUMENT_LABEL, SERIES, XE_LABEL, colour_of
from ergokedro.reporting.results import n_components, pick_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = ("chain", "smallest")


def plot_in_document_xe(results: pd.DataFrame, split: str = "test") -> Figure:
    """XE in bins of positions in the document, for the series chain and smallest."""
    figure, axes = make_figure(len(_SHOWN))
    for axis, series in zip(axes, _SHOWN, strict=True):
        curves = pick_rows(results, "in_document_xe", series, split)
        for k, curve in curves.groupby("k"):
            band(axis, curve, f"K = {k}", colour_of(k, n_components(results)))
        if not curves.empty:
            position_axis(axis, int(curves.position.max()), DOCUMENT_LABEL)
            axis.legend(frameon=False, fontsize=8)
        axis.set_title(SERIES[series].label, fontsize=10)
    axes[0].set_ylabel(XE_LABEL)
    figure.suptitle(
        f"Cross entropy by position in the document on {split} text (bins that double; bands: "
        "intervals over documents)",
        fontsize=11,
    )
    return figure
