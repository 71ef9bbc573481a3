"""The headline figure: what K changes, with its interval."""

from __future__ import annotations

import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Curve, Level
from ergokedro.reporting.figures.style import K_LABEL, colour_of
from ergokedro.reporting.headline import HeadlineRow, find_headline
from ergokedro.reporting.results import (
    component_names,
    headline_series,
    interval_note,
    n_components,
    pick_rows,
)

_VERBS = {"higher": "raise", "lower": "lower"}


def plot_effect_of_k(results: pd.DataFrame, split: str = "test") -> Chart:
    """The difference of every K to K = 1, balanced over sets or on the smallest component."""
    series = headline_series(results, split)
    rows = pick_rows(results, "difference_to_k1", series, split)
    first = rows.head(1).assign(k=1, value=0.0, low=float("nan"), high=float("nan"))
    of_all = n_components(results)
    parts = [
        Curve.of(point, "", colour_of(int(k), of_all), marker="o", line="none")
        for k, point in pd.concat([first, rows]).groupby("k")
    ]
    return Chart(
        _title(find_headline(results, split).largest),
        f"Change of cross entropy from K = 1 on {split} text, nats per token: "
        f"{what_is_averaged(results, series)}.{interval_note(results, rows)}",
        Axis(K_LABEL, "whole"),
        parts,
        levels=[Level(0, "as K = 1")],
        zero=True,
    )


def what_is_averaged(results: pd.DataFrame, series: str) -> str:
    """The text that the headline is about, in words."""
    if series == "balanced":
        return "mean over balanced sets of K components"
    return f"{component_names(results)[0]}, the smallest component"


def _title(largest: HeadlineRow) -> str:
    if largest.difference is None:
        return f"K = {largest.k}: cross entropy is {largest.xe.value:.4f} nats per token"
    if largest.decision in _VERBS:
        verb, size = _VERBS[largest.decision], largest.size.value
        return f"{largest.k} components {verb} cross entropy by {size:.4f} nats per token"
    low, high = largest.difference.low, largest.difference.high
    return (
        f"Whether {largest.k} components change cross entropy is not determined: "
        f"{low:+.4f} to {high:+.4f}"
    )
