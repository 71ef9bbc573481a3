"""What a training token of one component is worth to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.axes import draw_heatmap, label_components, make_figure
from ergokedro.reporting.results import component_names
from ergokedro.reporting.transfer import exchange_matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_exchange(results: pd.DataFrame, split: str = "test") -> Figure:
    """The exchange matrix τ; '?' where the runs do not determine it."""
    names = component_names(results)
    matrix = exchange_matrix(results, names, split)
    figure, axes = make_figure(1, width=3 + 1.3 * len(names), height=1.8 + 0.6 * len(names))
    own = pd.DataFrame(np.eye(len(names), dtype=bool))
    draw_heatmap(figure, axes[0], matrix, "tokens of its own", bold=own)
    label_components(axes[0].xaxis, names)
    label_components(axes[0].yaxis, names)
    axes[0].set_xlabel("component that gives a training token")
    axes[0].set_ylabel("component that is predicted")
    axes[0].set_title(f"{split} text; ?: not determined by these runs", fontsize=10)
    return figure
