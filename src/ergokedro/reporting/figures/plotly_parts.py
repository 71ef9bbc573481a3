"""Parts that several interactive figures are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import plotly.graph_objects as go


def panels(titles: list[str]) -> go.Figure:
    """A figure with panels side by side."""
    from plotly.subplots import make_subplots

    return make_subplots(cols=len(titles), subplot_titles=titles)


def errors(rows: pd.DataFrame) -> dict[str, Any]:
    """The intervals of `rows` as Plotly's error bars."""
    return {"array": rows.high - rows.value, "arrayminus": rows.value - rows.low}


def titled(figure: go.Figure, title: str) -> go.Figure:
    """The figure with its title, in the style of all interactive figures."""
    figure.update_layout(title=title, template="simple_white")
    return figure
