"""How fast and how far each K learned: from the learning curves, as rows of the tidy results.

Curves are the validation XE on the smallest component, which every K was trained on, after so many
tokens; windows are the same for every K. One run gives one curve, so these numbers have no
intervals: compare them with their spread over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.series import RESULT_COLUMNS


def convergence_table(
    results: pd.DataFrame,
    histories: Mapping[str, pd.DataFrame],
    summaries: Mapping[str, Mapping[str, Any]],
    smallest: str,
) -> pd.DataFrame:
    """Convergence of the chain's runs, and the gap between training and held-out text.

    Parameters
    ----------
    results : rows of `xe`, of series 'chain' and 'smallest'.
    histories, summaries : of training, by name of the run.
    smallest : name of the smallest component.

    Returns
    -------
    Rows of the tidy results, one per K:

    - common_level: the lowest XE that every K has reached at its end, nats (split validation,
      series smallest, as the next two);
    - tokens_to_level: tokens seen when the curve first is at that level, between two points of
      the curve linearly (unit 'tokens');
    - excess_area: area between the curve and the lowest end of any K, over the tokens between the
      first point after the start and the last, so a mean, nats;
    - train_gap: `xe` less the final training loss, nats (both splits, series chain), with the
      interval of the held-out part.

    The first three only where a run was validated at least twice after its start.
    """
    curves = {run: validation_curve(history, [smallest]) for run, history in histories.items()}
    rows = [{**row, **_tags(summaries[row["run"]])} for row in _levels(curves)]
    rows += _gaps(results, summaries)
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def validation_curve(history: pd.DataFrame, components: list[str]) -> pd.Series:
    """Mean validation XE over `components`, by tokens seen: float64, nats; the start included."""
    chosen = (history.metric == "validation_xe") & history.component.isin(components)
    return history[chosen].groupby("tokens").value.mean()


def tokens_to_reach(curve: pd.Series, level: float) -> float:
    """Tokens at which a curve first is at or below `level`, or NaN if it never is."""
    tokens, values = curve.index.to_numpy(dtype=np.float64), curve.to_numpy()
    below = np.flatnonzero(values <= level)
    if not len(below):
        return float("nan")
    place = below[0]
    if place == 0:
        return float(tokens[0])
    share = (values[place - 1] - level) / (values[place - 1] - values[place])
    return float(tokens[place - 1] + share * (tokens[place] - tokens[place - 1]))


def mean_excess(curve: pd.Series, level: float) -> float:
    """Area between a curve and `level` over the tokens that it covers, trapezoids: nats."""
    tokens = curve.index.to_numpy(dtype=np.float64)
    return float(np.trapezoid(curve.to_numpy() - level, tokens) / (tokens[-1] - tokens[0]))


def _tags(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Of a row from a curve, which is no mean over the stored windows."""
    counts = {"windows": 0, "documents": 0, "position": 0}
    return {"k": summary["k"], "seed": summary["seed"], "component": "", "trained": True, **counts}


def _levels(curves: Mapping[str, pd.Series]) -> Iterator[dict[str, Any]]:
    if min(len(curve) for curve in curves.values()) < 3:
        return
    ends = [float(curve.iloc[-1]) for curve in curves.values()]
    for run, curve in curves.items():
        tags = {"run": run, "split": "validation", "series": "smallest", "unit": "nats"}
        tokens = tokens_to_reach(curve, max(ends))
        yield {**tags, "quantity": "common_level", "value": max(ends)}
        yield {**tags, "quantity": "tokens_to_level", "value": tokens, "unit": "tokens"}
        # The start, log of the vocabulary for every K, would outweigh all the rest.
        yield {**tags, "quantity": "excess_area", "value": mean_excess(curve.iloc[1:], min(ends))}


def _gaps(
    results: pd.DataFrame, summaries: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    chosen = (results.quantity == "xe") & (results.series == "chain")
    for row in results[chosen & results.run.isin(list(summaries))].to_dict("records"):
        loss = summaries[row["run"]]["final_train_loss"]
        shifted = {name: row[name] - loss for name in ("value", "low", "high")}
        yield {**row, "quantity": "train_gap", **shifted}
