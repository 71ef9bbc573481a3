"""What less text of its own costs the specialist of a component."""

from __future__ import annotations

import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Level, component_curves
from ergokedro.reporting.results import component_names, interval_note, pick_rows


def plot_specialists(results: pd.DataFrame, split: str = "test") -> Chart:
    """The specialist of every component at D / K tokens less the one at D, against K.

    The differences are paired by window; their mean over components is the term starvation of
    :func:`ergokedro.reporting.figures.decomposition.plot_decomposition`.
    """
    rows = pick_rows(results, "starvation", "component", split)
    parts = component_curves(rows, component_names(results))
    confounded = rows.note.max() if len(rows) else ""
    return Chart(
        _title(rows[rows.k == rows.k.max()]),
        "Cross entropy of the specialist of each component with D / K tokens less that with all D "
        f"tokens, on its own {split} text, nats per token."
        f"{interval_note(results, rows)}" + (f" Note that {confounded}." if confounded else ""),
        Axis("K; a specialist has D / K tokens", "whole"),
        parts,
        levels=[Level(0, "all D tokens")],
        zero=True,
    )


def _title(last: pd.DataFrame) -> str:
    """Of the largest K."""
    if last.empty:
        return "No specialists with D and with D / K tokens were trained"
    ends = dict.fromkeys(f"{value:.4f}" for value in (last.value.min(), last.value.max()))
    return (
        f"D / {last.k.iloc[0]} instead of D tokens of its own cost a specialist "
        f"{' to '.join(ends)} nats per token"
    )
