"""How far components can be told apart."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Matrix, only_one_component
from ergokedro.reporting.figures.style import K_LABEL
from ergokedro.reporting.results import distinguishability_matrix


def plot_distinguishability(results: pd.DataFrame, split: str = "test") -> Chart:
    """How much worse the specialist of another component predicts the text of a component."""
    table = distinguishability_matrix(results, "value", split)
    if table.empty:
        return only_one_component(Axis(K_LABEL, "whole"))
    own = np.eye(len(table), dtype=bool)
    return Chart(
        _title(table.mask(own).stack()),
        f"By how many nats per token the specialist of another component predicts {split} text "
        "worse than that of the component itself, both with all D tokens. Darker: easier to tell "
        "apart.",
        Axis("component that the specialist was trained on", "category", list(table.columns)),
        matrix=Matrix(table, strong=own),
        rows="component that is predicted",
    )


def _title(others: pd.Series) -> str:
    if others.empty:
        return "There is one component alone"
    (component, specialist), least = others.idxmin(), others.min()
    return f"Hardest to tell apart: {component} by the specialist of {specialist}, {least:.3f} nats"
