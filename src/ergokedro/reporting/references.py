"""Published models beside the runs: their rows of the results, and the table of the report."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ergokedro.reporting.results import Estimate, n_components, pick_rows, run_ks


@dataclass(frozen=True)
class ReferenceRow:
    """A published model on the smallest component and on all components.

    Attributes
    ----------
    name : of its files.
    smallest, together : XE, nats per token of the experiment.
    smallest_bits, together_bits : bits per byte.
    same_tokens : its tokenizer gives the tokens of the experiment.
    k : the largest K that was run.
    less_run, less_run_smallest : the model less that run on all components and on the smallest,
        paired by window; in nats per token, or bits per byte where its tokens are others.
    """

    name: str
    smallest: Estimate
    together: Estimate
    smallest_bits: Estimate
    together_bits: Estimate
    same_tokens: bool
    k: int
    less_run: Estimate
    less_run_smallest: Estimate


def on_series(results: pd.DataFrame, quantity: str, series: str, split: str) -> pd.DataFrame:
    """Published models on the text of a series of the runs: 'chain', 'smallest' or 'all'.

    Returns
    -------
    Rows of the results for each K that was run, `run` being the model's short name. On the series
    smallest and all the text is the same for every K.
    """
    rows = pick_rows(results, quantity, "reference", split)
    rows = rows[rows.component == ""].assign(run=rows.run.str.removeprefix("references."))
    ks = run_ks(results)
    if series == "chain":
        return rows[rows.k.isin(ks)]
    rows = rows[rows.k == (1 if series == "smallest" else n_components(results))]
    return rows.drop(columns="k").merge(pd.DataFrame({"k": ks}), how="cross")


def reference_rows(results: pd.DataFrame, split: str = "test") -> list[ReferenceRow]:
    """One row per published model, in the order of the setting."""
    if pick_rows(results, "xe", "reference", split).empty:
        return []
    smallest, together, smallest_bits, together_bits = (
        on_series(results, quantity, series, split).drop_duplicates("run").set_index("run")
        for quantity in ("xe", "bits_per_byte")
        for series in ("smallest", "all")
    )
    return [
        ReferenceRow(
            name,
            Estimate.of(smallest.loc[name]),
            Estimate.of(together.loc[name]),
            Estimate.of(smallest_bits.loc[name]),
            Estimate.of(together_bits.loc[name]),
            same_tokens=not smallest.note[name],
            k=int(_less_largest_run(results, name, "all", split).k),
            less_run=Estimate.of(_less_largest_run(results, name, "all", split)),
            less_run_smallest=Estimate.of(_less_largest_run(results, name, "smallest", split)),
        )
        for name in smallest.index
    ]


def _less_largest_run(results: pd.DataFrame, name: str, series: str, split: str) -> pd.Series:
    """A published model less the run of the largest K: nats per token, or else bits per byte."""
    units = ("xe_less_run", "bits_per_byte_less_run")
    rows = pd.concat([pick_rows(results, quantity, series, split) for quantity in units])
    return rows[rows.run == f"references.{name}"].drop_duplicates("k").iloc[-1]
