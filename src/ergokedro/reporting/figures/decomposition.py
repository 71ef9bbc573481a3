"""Where the cost of K comes from, and what the others' text is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.reporting.decomposition import find_cost
from ergokedro.reporting.figures.chart import (
    Axis,
    Chart,
    Curve,
    Level,
    component_curves,
    only_one_component,
    stack,
)
from ergokedro.reporting.figures.style import (
    INK,
    K_LABEL,
    SOFT,
    term_styles,
)
from ergokedro.reporting.results import component_names, interval_note, knows_sources, pick_rows


def plot_decomposition(results: pd.DataFrame, split: str = "test") -> Chart:
    """The terms of the cost of K, stacked, their sum, and the bound on identification."""
    cost = pick_rows(results, "cost", "chain", split)
    if cost.empty:
        return only_one_component(Axis(K_LABEL, "whole"))
    styles = term_styles(knows_sources(results))
    values = {name: pick_rows(results, name, "chain", split).value.to_numpy() for name in styles}
    bars = stack(
        cost.k.to_numpy(dtype=np.float64),
        [(style.label, values[name], style.colour) for name, style in styles.items()],
    )
    bound = pick_rows(results, "identification_bound", "chain", split)
    most = bound.value.to_numpy() + values["starvation"]
    bound = bound.assign(value=most, low=np.nan, high=np.nan)
    return Chart(
        _title(results, split),
        f"Cost of a model of K over specialists with all D tokens, {split} text, nats per token. "
        "Diamond: the sum; dash: the most that not knowing the component can cost, on top of "
        f"starvation.{interval_note(results, cost, 'Bars of the sum')}",
        Axis(K_LABEL, "whole"),
        [
            *bars,
            Curve.of(cost, "", INK, marker="D", line="none"),
            Curve.of(bound, "", SOFT, marker="_", line="none"),
        ],
        levels=[Level(0)],
        zero=True,
    )


def _title(results: pd.DataFrame, split: str) -> str:
    cost = find_cost(results, split)
    if cost is None:
        return "No specialists were trained"
    label = term_styles(cost.known)[cost.largest].label
    term, clearly = cost.terms[cost.largest].value, "clearly " * cost.clearly
    return (
        f"K = {cost.k} costs {cost.total.value:+.4f} nats per token; {clearly}the largest part is "
        f"{label}, {term:+.4f}"
    )


def plot_others_worth(results: pd.DataFrame, split: str = "test") -> Chart:
    """One model for all beside a specialist with the same text of the component."""
    rows = pick_rows(results, "others_worth", "component", split)
    if rows.empty:
        return only_one_component(Axis(K_LABEL, "whole"))
    parts = component_curves(rows, component_names(results))
    last = rows[rows.k == rows.k.max()]
    helped, harmed = int((last.low > 0).sum()), int((last.high < 0).sum())
    return Chart(
        f"At K = {rows.k.max()} the others' text helps {helped} of {len(last)} components and "
        f"harms {harmed}",
        "Gain of the model of K over a specialist with the same D / K tokens of the component, "
        f"{split} text, nats per token.{interval_note(results, rows)}",
        Axis(K_LABEL, "whole"),
        parts,
        levels=[Level(0, "no difference")],
    )
