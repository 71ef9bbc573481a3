"""What the report says of the decomposition and of the controls."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.analysis.decomposition import TERMS
from ergokedro.reporting.tables import interval_text

HOW_TO_DECOMPOSE = (
    "Where the cost of K comes from is not known yet: that takes specialists, models of one "
    "component alone. The same command with `controls.specialists=true` among its `--params` adds "
    "them; finished runs are kept."
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


def decomposition_table(results: pd.DataFrame, split: str = "test") -> pd.DataFrame:
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
        cell=[interval_text(row, "+.4f") if row.low != row.high else f"{row.value:.4f}"
              for row in chosen.itertuples()],
        component=chosen.component.where(chosen.series == "component", "all"),
    )  # fmt: skip
    table = cells.pivot(index=["k", "component"], columns="quantity", values="cell")
    present = [name for name in _COLUMNS if name in table]
    order = dict.fromkeys(zip(cells.k, cells.component, strict=True))
    return table.loc[list(order), present].rename(columns=_COLUMNS).reset_index()


def decomposition_insights(here: pd.DataFrame) -> list[str]:
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
            f"{_MEANINGS[name]} {interval_text(terms.loc[name], '+.4f')}" for name in TERMS
        )
        sentences.append(
            f"A model of K = {k} costs {interval_text(terms.loc['cost'], '+.4f')} nats a token "
            f"over specialists with all D tokens: {parts}."
        )
        sentences.append(f"{_largest(terms)} {_identification(terms, k)}")
        sentences += _naming(here, k)
    return [*sentences, *_controls(here)]


def _controls(here: pd.DataFrame) -> list[str]:
    """The pseudo-components, which must show nothing, and the seeds."""
    spread = here[here.quantity == "seed_spread"]
    noise = _seed_noise(spread)
    sentences = []
    pseudo = here[(here.series == "pseudo") & (here.quantity == "difference_to_k1")]
    for row in pseudo.itertuples():
        if row.low <= 0 <= row.high:
            verdict = "includes zero, as it must"
        elif noise is None:
            verdict = (
                "does NOT include zero. The interval is over documents alone: "
                "`controls.seeds=3` shows how much two runs differ by chance"
            )
        elif abs(row.value) <= noise:
            verdict = "lies within what two seeds differ by, as it must, though not over documents"
        else:
            verdict = "does NOT include zero, and lies beyond what two seeds differ by"
        sentences.append(
            f"Control: with {row.k} random parts of one component as pseudo-components the "
            f"difference to K = 1 is {interval_text(row, '+.4f')}, and {verdict}."
        )
    for row in spread.itertuples():
        sentences.append(
            f"Over {row.seeds} seeds the cross entropy of K = {row.k} has a standard deviation of "
            f"{row.value:.4f} nats a token, which no interval above includes."
        )
    if noise is not None:
        sentences.append(
            f"Two runs that differ in the seed alone differ by up to {noise:.4f} nats a token "
            "(95 % of pairs, from the spread over seeds of all K): read smaller differences as "
            "chance."
        )
    return sentences


def _seed_noise(spread: pd.DataFrame) -> float | None:
    """What 95 % of pairs of seeds differ by less than, from the spread pooled over K."""
    from scipy.stats import t

    freedom = spread.seeds - 1
    if freedom.sum() == 0:
        return None
    variance = (freedom * spread.value**2).sum() / freedom.sum()
    return float(t.ppf(0.975, freedom.sum()) * np.sqrt(2 * variance))


def _largest(terms: pd.DataFrame) -> str:
    """Which term is the largest, if its interval lies clear of the others'."""
    sizes = terms.loc[sorted(TERMS, key=lambda name: -abs(terms.value[name]))]
    first, *others = sizes.itertuples()
    low = min(abs(first.low), abs(first.high))
    if all(low > max(abs(other.low), abs(other.high)) for other in others):
        return f"The largest part is {first.Index}."
    return f"No part is clearly the largest: the interval of {first.Index} meets another's."


def _identification(terms: pd.DataFrame, k: int) -> str:
    bound, spent = terms.loc["identification_bound"].value, terms.loc["identification"].value
    here = (
        f"here it costs {spent / bound:.0%} of that"
        if spent >= 0
        else "here it costs nothing: the specialists read better together than the right one alone"
    )
    return (
        f"Not knowing the component can cost at most log {k} / (W - 1) = {bound:.4f} nats a token "
        f"on any text; {here}."
    )


def _naming(here: pd.DataFrame, k: int, share: float = 0.9) -> list[str]:
    """After how many tokens most windows are named rightly."""
    chosen = (here.quantity == "naming_accuracy") & (here.series == "chain") & (here.k == k)
    curve = here[chosen].sort_values("position")
    enough = curve[curve.value >= share]
    who = f"The mixture of the {k} specialists names the component of a window rightly"
    if enough.empty:
        last = curve.iloc[-1]
        return [f"{who} in {interval_text(last, '.0%')} of windows before their last token."]
    first = enough.iloc[0]
    return [
        f"{who} in {interval_text(first, '.0%')} of windows once it has read "
        f"{first.position - 1} tokens."
    ]
