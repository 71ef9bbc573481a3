"""What a training token of one component is worth to another."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Matrix
from ergokedro.reporting.results import component_names
from ergokedro.reporting.transfer import Transfer, exchange_matrix, find_transfer


def plot_exchange(results: pd.DataFrame, split: str = "test") -> Chart:
    """The exchange matrix τ; '?' where the runs do not determine it."""
    names = component_names(results)
    matrix = exchange_matrix(results, names, split)
    return Chart(
        _title(find_transfer(results, split)),
        f"How many tokens of its own a training token of another component is worth, {split} text. "
        "?: not determined by these runs.",
        Axis("component that gives a training token", "category", names),
        matrix=Matrix(matrix, strong=np.eye(len(names), dtype=bool), spec=".2f"),
        rows="component that is predicted",
    )


def _title(found: Transfer) -> str:
    pair = found.best_exchange
    if found.worthless:
        return "A token of another component is worth nothing to any of them"
    if pair is None or pair.best is None:
        return "These runs do not determine what a token of another component is worth"
    return (
        f"Most useful: to {pair.component} a token of {pair.source} is worth "
        f"{max(0.0, pair.best.estimate.value):.2f} of its own"
    )
