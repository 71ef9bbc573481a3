"""Cross entropy of every K on every component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.axes import draw_heatmap, label_components, make_figure
from ergokedro.reporting.figures.plotly_parts import titled
from ergokedro.reporting.figures.style import MIDDLE, XE_LABEL
from ergokedro.reporting.results import component_names, pick_rows
from ergokedro.reporting.text import plotly_text, shorten

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.figure import Figure


def plot_component_heatmap(results: pd.DataFrame, split: str = "test") -> Figure:
    """XE of every K on every component; components that K was not trained on are hatched."""
    from matplotlib.patches import Rectangle

    table = pick_rows(results, "xe", "component", split)
    components = component_names(results)
    values = table.pivot(index="k", columns="component", values="value")[components]
    trained = table.pivot(index="k", columns="component", values="trained")[components]
    figure, axes = make_figure(1, width=3 + 1.3 * len(components), height=1.8 + 0.6 * len(values))
    draw_heatmap(figure, axes[0], values, XE_LABEL, bold=trained)
    for row, column in np.argwhere(~trained.to_numpy(dtype=bool)):
        corner = (column - 0.5, row - 0.5)
        hatch = Rectangle(corner, 1, 1, fill=False, hatch="///", ec=MIDDLE, lw=0)
        axes[0].add_patch(hatch)
    label_components(axes[0].xaxis, components)
    axes[0].set_yticks(range(len(values)), [f"K = {k}" for k in values.index])
    axes[0].set_xlabel("component that is predicted")
    axes[0].set_ylabel("components in training")
    axes[0].set_title(f"{split} text; bold: trained on, hatched: not trained on", fontsize=10)
    return figure


def plotly_component_heatmap(results: pd.DataFrame, split: str = "test") -> go.Figure:
    """XE of every K on every component; hovering says whether K was trained on it."""
    import plotly.graph_objects as go

    rows = pick_rows(results, "xe", "component", split)
    components = component_names(results)
    hints = rows.trained.map({True: "trained on", False: "not trained on"})
    hints += rows.apply(lambda row: f"<br>[{row.low:.4f}, {row.high:.4f}]", axis=1)
    tables = {
        name: rows.assign(hint=hints).pivot(index="k", columns="component", values=name)[components]
        for name in ("value", "hint")
    }
    heatmap = go.Heatmap(
        z=tables["value"],
        x=[plotly_text(shorten(name)) for name in components],
        y=[f"K = {k}" for k in tables["value"].index],
        customdata=tables["hint"],
        colorscale="Cividis",
        reversescale=True,
        texttemplate="%{z:.3f}",
        hovertemplate="%{y} on %{x}: %{z:.4f}<br>%{customdata}<extra></extra>",
        colorbar={"title": XE_LABEL},
    )
    figure = go.Figure(heatmap)
    # A category may look like a number or a date, which Plotly would put on a scale.
    figure.update_xaxes(title_text="component that is predicted", type="category")
    figure.update_yaxes(title_text="components in training", autorange="reversed")
    return titled(figure, f"Every K on every component, {split} text")
