"""What a training token of one component is worth to another."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Matrix
from ergokedro.reporting.results import component_names
from ergokedro.reporting.transfer import WORTHLESS, exchange_matrix, find_transfer


def plot_exchange(results: pd.DataFrame, split: str = "test") -> Chart:
    """The exchange matrix τ; '?' where the runs do not determine it."""
    names = component_names(results)
    matrix = exchange_matrix(results, names, split)
    best = find_transfer(results, split).best_exchange
    title = "These runs do not determine what a token of another component is worth"
    if best and best.best:
        worth = max(0.0, best.best.estimate.value)
        title = (
            f"Most useful: to {best.component} a token of {best.source} is worth {worth:.2f} of "
            "its own"
            if worth >= WORTHLESS
            else "A token of another component is worth nothing to any of them"
        )
    return Chart(
        title,
        f"How many tokens of its own a training token of another component is worth, {split} text. "
        "?: not determined by these runs.",
        Axis("component that gives a training token", "category", names),
        matrix=Matrix(matrix, strong=np.eye(len(names), dtype=bool), spec=".2f"),
        rows="component that is predicted",
    )
