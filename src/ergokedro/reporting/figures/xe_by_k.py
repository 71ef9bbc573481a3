"""Cross entropy against K, beside what is possible."""

from __future__ import annotations

import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Curve
from ergokedro.reporting.figures.reference_lines import reference_curves
from ergokedro.reporting.figures.style import INK, K_LABEL, SOFT
from ergokedro.reporting.references import on_series
from ergokedro.reporting.results import interval_note, pick_rows


def plot_xe_by_k(results: pd.DataFrame, split: str = "test") -> Chart:
    """XE of every K on the components that it was trained on, and the exact optimum."""
    rows = pick_rows(results, "xe", "chain", split)
    exact = pick_rows(results, "exact_xe", "chain", split)
    parts = [Curve.of(rows, "trained model", INK, marker="o", line="none")]
    if not exact.empty:
        exact = exact.assign(low=float("nan"), high=float("nan"))
        parts.append(Curve.of(exact, "least possible", SOFT, marker="_", line="none"))
    lines, outside = reference_curves(on_series(results, "xe", "chain", split), "k", parts)
    return Chart(
        _title(rows, pick_rows(results, "excess", "chain", split)),
        f"Cross entropy on {split} text of the components trained on, nats per token, so each K on "
        f"other text.{interval_note(results, rows)}{outside}",
        Axis(K_LABEL, "whole"),
        [*parts, *lines],
    )


def _title(rows: pd.DataFrame, excess: pd.DataFrame) -> str:
    if excess.empty:
        low, high = rows.value.min(), rows.value.max()
        return f"Components trained on are predicted with {low:.3f} to {high:.3f} nats per token"
    low, high = excess.value.min(), excess.value.max()
    return f"Models lie {low:.4f} to {high:.4f} nats per token above the least possible"
