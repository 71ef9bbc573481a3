"""Tables of the report beside the headline, as text, and the sentences that go with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ergokedro.analysis.curve_fits import FORMS
from ergokedro.reporting.figures.specialists import distinguishability_matrix


class Table(NamedTuple):
    """A table with the line that explains it."""

    note: str
    frame: pd.DataFrame


def interval_text(row: Any, spec: str) -> str:
    """A value with its interval, in the format `spec`."""
    if pd.isna(row.low):
        return f"{row.value:{spec}} [no interval: a component has one document]"
    return f"{row.value:{spec}} [{row.low:{spec}}, {row.high:{spec}}]"


def p_text(p: float) -> str:
    """A p-value; no digits are worth printing below 0.0001."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def detail_tables(results: pd.DataFrame, split: str = "test") -> dict[str, Table]:
    """The tables that have rows, by title."""
    tables = {
        "Contrasts with K = 1": Table(
            "The smallest component on test text: XE of K less that of K = 1, nats a token, paired "
            "by window. raw: two-sided, Student's t on the documents, from the bootstrap's "
            "standard error; Holm: corrected for the family of all K.",
            contrast_table(results, split),
        ),
        "How much worse other specialists read": Table(
            "Test text, nats a token: in the row of a component, how much worse the specialist of "
            "the column's component reads it than its own, paired by window.",
            distinguishability_table(results, split),
        ),
        "Convergence": Table(
            "common level: the lowest XE on validation text of the smallest component that every "
            "K has reached at its end, and the tokens that each took to it; mean excess: area "
            "between that curve and the lowest end of any K, over its tokens, without the start. "
            "These have no interval: each is of one run and some windows. gap: held-out XE on the "
            "components trained on less the training loss over the last 2 % of steps; its "
            "interval is of the held-out part alone.",
            convergence_table(results),
        ),
        "Fits of L(t)": Table(
            "power: a + b t^-c; exponential: a + b exp(-t / tau); weighted by position, test text. "
            "rmse in nats. a is a parameter of the fit, not an entropy rate. Not determined: a "
            "parameter outside its own interval, or a floor whose interval reaches below 0.",
            fit_table(results, split),
        ),
    }
    return {title: table for title, table in tables.items() if len(table.frame)}


def contrast_table(results: pd.DataFrame, split: str) -> pd.DataFrame:
    """Difference to K = 1 with its interval and p-values, by K."""
    here = results[(results.split == split) & (results.series == "smallest")]
    differences = here[here.quantity == "difference_to_k1"].sort_values("k")
    if differences.empty:
        return differences
    p = here[here.quantity.isin(["p_value", "p_value_holm"])]
    p = p.pivot(index="k", columns="quantity", values="value").reindex(
        index=differences.k, columns=["p_value", "p_value_holm"]
    )
    text = [interval_text(row, "+.4f") for row in differences.itertuples()]
    table = pd.DataFrame({"k": differences.k.to_numpy(), "difference to K = 1": text})
    return table.assign(
        raw=p.p_value.map(p_text).to_numpy(), Holm=p.p_value_holm.map(p_text).to_numpy()
    )


def distinguishability_table(results: pd.DataFrame, split: str) -> pd.DataFrame:
    """The matrix with intervals, as text; empty without specialists."""
    value, low, high = (
        distinguishability_matrix(results, column, split) for column in ("value", "low", "high")
    )
    if value.empty:
        return value
    text = value.map("{:.4f}".format) + low.map(" [{:.4f}, ".format) + high.map("{:.4f}]".format)
    own = np.eye(len(value), dtype=bool)
    return text.mask(own, "0").rename_axis(columns=None).reset_index()


def convergence_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per K: tokens to the common level, mean excess and gaps, as text."""
    formats = {"common_level": "{:.4f}", "tokens_to_level": "{:,.0f}", "excess_area": "{:.4f}"}
    columns = {
        name: results[results.quantity == name].set_index("k").value.map(form.format)
        for name, form in formats.items()
    }
    names = {
        "common_level": "common level, nats",
        "tokens_to_level": "tokens to it",
        "excess_area": "mean excess, nats",
    }
    gaps = results[results.quantity == "train_gap"]
    for split in ("validation", "test"):
        rows = gaps[gaps.split == split]
        text = [interval_text(row, "+.4f") for row in rows.itertuples()]
        columns[f"gap on {split} text, nats"] = pd.Series(text, index=rows.k.to_numpy(), dtype=str)
    present = {names.get(name, name): column for name, column in columns.items() if len(column)}
    table = pd.DataFrame(present).sort_index().rename_axis("k")
    return table.reset_index() if present else table


def fit_table(results: pd.DataFrame, split: str) -> pd.DataFrame:
    """One row per series, K and form: parameters with their intervals, as text."""
    here = results[(results.split == split) & results.quantity.str.startswith("fit_")]
    rows = []
    for (series, k), each in here.groupby(["series", "k"]):
        found = each.set_index("quantity")
        for name, form in FORMS.items():
            if f"fit_{name}_a" not in found.index:
                continue
            a, b, shape = (found.loc[f"fit_{name}_{p}"] for p in ("a", "b", form.shape))
            known = is_determined(a, b, shape)
            rows.append(
                {
                    "series": series,
                    "k": k,
                    "form": name,
                    "a": interval_text(a, ".3f") if known else "not determined",
                    "b": interval_text(b, ".3f") if known else "",
                    "c or tau": interval_text(shape, ".3g") if known else "",
                    "rmse": f"{found.loc[f'fit_{name}_rmse'].value:.4f}",
                }
            )
    return pd.DataFrame(rows)


def is_determined(floor: Any, *others: Any) -> bool:
    """Every parameter lies in its interval, and that of the floor above 0.

    Where L(t) hardly bends, or has little text behind it, any floor fits, and refits scatter.
    """
    return bool(floor.low >= 0) and all(p.low <= p.value <= p.high for p in (floor, *others))


def detail_insights(results: pd.DataFrame, split: str = "test") -> Iterator[str]:
    """Sentences on slope, convergence, gap and distinguishability."""
    here = results[results.split == split]
    for row in here[here.quantity == "slope_log_k"].itertuples():
        yield (
            f"The least-squares slope on log K is {interval_text(row, '+.4f')} nats a token on the "
            "smallest component; nothing says that the dependence is linear."
        )
    yield from _convergence_insights(results)
    gaps = here[here.quantity == "train_gap"]
    for row in gaps[gaps.k.isin([gaps.k.min(), gaps.k.max()])].itertuples():
        yield (
            f"Held-out XE of K = {row.k} less its final training loss is "
            f"{interval_text(row, '+.4f')} nats a token (the interval leaves out "
            "the noise of that loss, a mean over the last 2 % of steps)."
        )
    yield from _distinguishability_insights(results, split)


def _convergence_insights(results: pd.DataFrame) -> Iterator[str]:
    tokens = results[results.quantity == "tokens_to_level"].sort_values("value")
    if len(tokens) > 1:
        first, last = tokens.iloc[0], tokens.iloc[-1]
        level = results[results.quantity == "common_level"].value.iloc[0]
        yield (
            f"A validation XE of {level:.4f} on the smallest component, which every K reaches, "
            f"took K = {first.k} {first.value:,.0f} tokens and K = {last.k} {last.value:,.0f} (one "
            "run each, between points of the curve linearly)."
        )


def _distinguishability_insights(results: pd.DataFrame, split: str) -> Iterator[str]:
    rows = results[(results.quantity == "distinguishability") & (results.split == split)]
    if rows.empty:
        return
    names = rows[rows.trained.astype(bool)].set_index("run").component
    others = rows[~rows.trained.astype(bool)].sort_values("value")
    least, most = (
        f"{interval_text(row, '.4f')} ({names[row.run]} on {row.component})"
        for row in others.iloc[[0, -1]].itertuples()
    )
    yield (
        "A specialist reads another component's text worse than that component's own specialist "
        f"by {least} to {most} nats a token."
    )
