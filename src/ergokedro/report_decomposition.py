"""What the report says of the decomposition and of the controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from ergokedro.decomposition import TERMS

HOW_TO_DECOMPOSE = (
    "Where the cost of K comes from is not known yet: that takes specialists, models of one "
    "component alone. `kedro run --params controls.specialists=true` adds them; finished runs are "
    "kept."
)
_COLUMNS = {
    "cost": "cost of K",
    **{name: name for name in TERMS},
    "identification_bound": "log K / (W - 1)",
    "exact_identification": "exact identification",
}
_MEANINGS = {
    "starvation": "having less text of its own",
    "identification": "not knowing the component",
    "interference": "sharing one model, less what the others' text teaches",
}


def decomposition_table(
    results: pd.DataFrame, interval: Callable[[Any, str], str], split: str = "test"
) -> pd.DataFrame:
    """One row per K and component (and their mean, 'all'): the terms with intervals, as text."""
    chosen = results[
        (results.split == split)
        & results.quantity.isin(_COLUMNS)
        & results.series.isin(["chain", "component"])
        & (results.position == 0)
    ]
    if chosen.empty:
        return pd.DataFrame()
    cells = chosen.assign(
        cell=[interval(row, "+.4f") if row.low != row.high else f"{row.value:.4f}"
              for row in chosen.itertuples()],
        component=chosen.component.where(chosen.series == "component", "all"),
    )  # fmt: skip
    table = cells.pivot(index=["k", "component"], columns="quantity", values="cell")
    present = [name for name in _COLUMNS if name in table]
    order = dict.fromkeys(zip(cells.k, cells.component, strict=True))
    return table.loc[list(order), present].rename(columns=_COLUMNS).reset_index()


def decomposition_insights(here: pd.DataFrame, interval: Callable[[Any, str], str]) -> list[str]:
    """Sentences on the cost of the largest K, and on the controls; `here` is of one split."""
    sentences = []
    chain = here[(here.series == "chain") & (here.position == 0)]
    costs = chain[chain.quantity == "cost"]
    if costs.empty:
        sentences.append(HOW_TO_DECOMPOSE)
    else:
        k = costs.k.max()
        terms = chain[chain.k == k].set_index("quantity")
        parts = ", ".join(
            f"{_MEANINGS[name]} {interval(terms.loc[name], '+.4f')}" for name in TERMS
        )
        sentences.append(
            f"A model of K = {k} costs {interval(terms.loc['cost'], '+.4f')} nats a token over "
            f"specialists with all D tokens: {parts}."
        )
        largest = max(TERMS, key=lambda name: abs(terms.loc[name].value))
        bound = terms.loc["identification_bound"].value
        sentences.append(
            f"The largest part is {largest}; not knowing the component can cost at most log "
            f"{k} / (W - 1) = {bound:.4f} on any text."
        )
    pseudo = here[(here.series == "pseudo") & (here.quantity == "difference_to_k1")]
    for row in pseudo.itertuples():
        vanishes = row.low <= 0 <= row.high
        sentences.append(
            f"Control: with {row.k} random parts of one component as pseudo-components the "
            f"difference to K = 1 is {interval(row, '+.4f')}, and "
            f"{'includes zero, as it must' if vanishes else 'does NOT include zero'}."
        )
    spread = here[here.quantity == "seed_spread"]
    for row in spread.itertuples():
        sentences.append(
            f"Over {row.seed} seeds the cross entropy of K = {row.k} has a standard deviation of "
            f"{row.value:.4f} nats a token, which no interval above includes."
        )
    return sentences
