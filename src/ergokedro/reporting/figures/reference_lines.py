"""Lines of published models in the figures of the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ergokedro.reporting.figures.style import CATEGORY_COLOURS
from ergokedro.reporting.text import plain_text, plotly_text

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes

_DASHES = (0, (5, 2, 1, 2))
# How far a line may be from the runs to be in the picture, in heights of what is drawn of them.
_REACH = 3.0


def draw_references(axis: Axes, rows: pd.DataFrame, x: str) -> None:
    """One line for each model, over the values of column `x`.

    Parameters
    ----------
    rows : of :func:`ergokedro.reporting.references.on_series`. The runs are drawn already: a model
        that is far from them is named with its value and does not change the scale.
    """
    low, high = axis.get_ylim()
    reach = _REACH * (high - low)
    seen = [low, high]
    for index, (name, curve) in enumerate(rows.groupby("run", sort=False)):
        near = curve.value.between(low - reach, high + reach)
        seen += curve.value[near].tolist()
        label = plain_text(str(name))
        if not near.any():
            label += f": {curve.value.mean():.3f}, outside"
        colour = _colour(index)
        axis.plot(curve[x], curve.value, color=colour, lw=1.1, linestyle=_DASHES, label=label)
    axis.set_ylim(min(seen), max(seen))


def add_references(figure: go.Figure, rows: pd.DataFrame, x: str, position: dict[str, Any]) -> None:
    """The same in an interactive figure; `position` is the panel's row and column."""
    for index, (name, curve) in enumerate(rows.groupby("run", sort=False)):
        figure.add_scatter(
            x=curve[x],
            y=curve.value,
            mode="lines+markers",
            name=plotly_text(str(name)),
            legendgroup=f"reference {index}",
            showlegend=position["col"] == 1,
            line={"color": _colour(index), "dash": "dashdot"},
            **position,
        )


def _colour(index: int) -> str:
    # From the end of the palette: the series have the first three.
    return CATEGORY_COLOURS[-1 - index % (len(CATEGORY_COLOURS) - 3)]
