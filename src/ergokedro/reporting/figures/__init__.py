"""All figures: one module each; this one has their titles and what they require.

A module outside the package adds one in the same way; docs/howto/extend-figure.md shows how.
"""

from ergokedro.reporting.figures.component_heatmap import (
    plot_component_heatmap,
    plotly_component_heatmap,
)
from ergokedro.reporting.figures.controls import ControlsWithSeries, plot_controls
from ergokedro.reporting.figures.decomposition import plot_decomposition, plotly_decomposition
from ergokedro.reporting.figures.distinguishability import plot_distinguishability
from ergokedro.reporting.figures.exchange import plot_exchange
from ergokedro.reporting.figures.in_context_xe import plot_in_context_xe, plotly_in_context_xe
from ergokedro.reporting.figures.in_document_xe import plot_in_document_xe
from ergokedro.reporting.figures.learning_curves import plot_learning_curves
from ergokedro.reporting.figures.registry import FIGURES, FigureSpec
from ergokedro.reporting.figures.specialists import plot_specialists
from ergokedro.reporting.figures.token_accounting import plot_token_accounting
from ergokedro.reporting.figures.xe_by_k import plot_xe_by_k, plotly_xe_by_k

__all__ = ["FIGURES", "FigureSpec"]

_SPECIALISTS = ("specialists",)

FIGURES.register(
    "token_accounting",
    FigureSpec(
        "What the corpus holds",
        plot_token_accounting,
        inputs=("token_accounting", "design"),
        pipeline="mixture_design",
    ),
)
FIGURES.register("xe_by_k", FigureSpec("Cross entropy against K", plot_xe_by_k, plotly_xe_by_k))
FIGURES.register(
    "in_context_xe",
    FigureSpec("Cross entropy in context", plot_in_context_xe, plotly_in_context_xe),
)
FIGURES.register(
    "in_document_xe",
    FigureSpec("Cross entropy by position in the document", plot_in_document_xe),
)
FIGURES.register(
    "learning_curves",
    FigureSpec("Learning curves", plot_learning_curves, inputs=("design", "histories")),
)
FIGURES.register(
    "component_heatmap",
    FigureSpec("Every K on every component", plot_component_heatmap, plotly_component_heatmap),
)
FIGURES.register(
    "decomposition",
    FigureSpec(
        "Where the cost of K comes from",
        plot_decomposition,
        plotly_decomposition,
        requires=_SPECIALISTS,
    ),
)
FIGURES.register(
    "specialists",
    FigureSpec(
        "Specialists and mixtures",
        plot_specialists,
        inputs=("results", "design"),
        requires=_SPECIALISTS,
    ),
)
FIGURES.register(
    "distinguishability",
    FigureSpec(
        "How far components can be told apart", plot_distinguishability, requires=_SPECIALISTS
    ),
)
FIGURES.register(
    "exchange",
    FigureSpec(
        "What a token of another component is worth, as a map",
        plot_exchange,
        requires=("specialists", "subsets"),
    ),
)
FIGURES.register("controls", FigureSpec("Controls", plot_controls, requires=ControlsWithSeries()))
