"""Cross entropy of every K on every component."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Matrix
from ergokedro.reporting.results import component_names, pick_rows


def plot_component_heatmap(results: pd.DataFrame, split: str = "test") -> Chart:
    """XE of every K on every component; components that K was not trained on are hatched."""
    table = pick_rows(results, "xe", "component", split)
    components = component_names(results)
    values, trained = (
        table.pivot(index="k", columns="component", values=name)[components]
        for name in ("value", "trained")
    )
    seen = trained.to_numpy(dtype=bool)
    named = values.rename(index=lambda k: f"K = {k}")
    return Chart(
        _title(values.to_numpy(), seen),
        f"Cross entropy on {split} text, nats per token. Bold: trained on it; hatched: not.",
        Axis("component that is predicted", "category", components),
        matrix=Matrix(named, strong=seen, hatched=~seen),
        rows="components in training",
    )


def _title(values: np.ndarray, seen: np.ndarray) -> str:
    """How much worse the K predict a component that were not trained on it than those that were.

    Parameters
    ----------
    values : float64 (K, components), XE, nats per token.
    seen : bool of the same shape, whether K was trained on the component.
    """
    differences = [
        column[~trained].mean() - column[trained].mean()
        for column, trained in zip(values.T, seen.T, strict=True)
        if trained.any() and not trained.all()
    ]
    if not differences:
        return "Every model was trained on every component"
    low, high = min(differences), max(differences)
    return f"Not being trained on a component costs {low:.2f} to {high:.2f} nats per token"
