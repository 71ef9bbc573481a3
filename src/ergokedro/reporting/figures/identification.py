"""How the component of a window is recognised along the window."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.reporting.decomposition import find_naming
from ergokedro.reporting.figures.chart import Axis, Chart, Level, only_one_component
from ergokedro.reporting.figures.in_context_xe import BAND, by_k
from ergokedro.reporting.figures.style import POSITION_LABEL
from ergokedro.reporting.results import interval_note, knows_sources, n_components, pick_rows


def plot_identification(results: pd.DataFrame, split: str = "test") -> Chart:
    """What the mixture of specialists loses against the right one, summed up along the window."""
    curves = pick_rows(results, "cumulative_identification", "chain", split)
    if curves.empty:
        return only_one_component(Axis(POSITION_LABEL, "log"))
    k = int(curves.k.max())
    total = float(curves[curves.k == k].value.iloc[-1])
    name = "Not knowing the component" if knows_sources(results) else "Mixing specialists"
    verb = "costs" if total >= 0 else "gains"
    return Chart(
        f"{name} {verb} {abs(total):.2f} nats in a window at K = {k}; it can cost at most "
        f"{np.log(k):.2f}",
        "Mixture of the K specialists less the right one, summed up to position t, "
        f"{split} text, nats. Dashed: log K, the most on average."
        f"{interval_note(results, curves, BAND)}",
        Axis(POSITION_LABEL, "log"),
        by_k(curves, n_components(results)),
        levels=[Level(float(np.log(number))) for number in curves.k.unique()],
        zero=True,
    )


def plot_naming(results: pd.DataFrame, split: str = "test") -> Chart:
    """In which share of windows the component is identified correctly, along the window."""
    curves = pick_rows(results, "naming_accuracy", "chain", split)
    if curves.empty:
        return only_one_component(Axis(POSITION_LABEL, "log"))
    found = find_naming(results, split, int(curves.k.max()))
    when = "before the last token" if found.tokens is None else f"after {found.tokens} tokens"
    return Chart(
        f"Of {found.k} components the right one is known in {found.share.value:.0%} of windows "
        f"{when}",
        "Share of windows whose component has the largest weight in the mixture of the K "
        f"specialists before position t, {split} text."
        f"{interval_note(results, curves, BAND)}",
        Axis(POSITION_LABEL, "log"),
        by_k(curves, n_components(results)),
        zero=True,
    )
