"""How far components can be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.axes import draw_heatmap, label_components, make_figure
from ergokedro.reporting.results import distinguishability_matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_distinguishability(results: pd.DataFrame, split: str = "test") -> Figure:
    """How much worse the specialist of another component reads the text of a component."""
    table = distinguishability_matrix(results, "value", split)
    own = pd.DataFrame(np.eye(len(table), dtype=bool))
    figure, axes = make_figure(1, width=3 + 1.3 * len(table), height=1.8 + 0.6 * len(table))
    draw_heatmap(figure, axes[0], table, "nats per token over the own specialist", bold=own)
    label_components(axes[0].xaxis, list(table.columns))
    label_components(axes[0].yaxis, list(table.index))
    axes[0].set_xlabel("component that the specialist was trained on")
    axes[0].set_ylabel("component that is predicted")
    axes[0].set_title(
        f"{split} text; specialists with all D tokens; darker: easier to tell apart", fontsize=10
    )
    return figure
