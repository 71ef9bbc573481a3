"""How fast and how far each K learned, from the learning curves.

Curves are the validation XE on the smallest component, which every K was trained on, by tokens
seen; windows are the same for every K. One run gives one curve, so these numbers have no
intervals: compare them with their spread over seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.records import RunSummary
from ergokedro.design.runs import Run


def convergence(
    experiment: Experiment,
    histories: Mapping[Run, pd.DataFrame],
    summaries: Mapping[Run, RunSummary],
) -> Iterator[ResultRow]:
    """Convergence of the chain's runs, and the gap between training and held-out text.

    Parameters
    ----------
    histories, summaries : of the training of each run of the chain.

    Yields
    ------
    Rows, one per K:

    - level: `analysis.level`, nats, where it is set (split validation, series smallest, as the
      next two), and tokens_to_level: tokens seen when the curve first is at that level, between two
      points of the curve linearly (unit 'tokens'; NaN and a note where it never is);
    - excess_area: area between the curve and the lowest end of any K, over the tokens between the
      first point after the start and the last, so a mean, nats;
    - train_gap: XE on the components trained on less the final training loss, nats (both splits,
      series chain), with the interval of the held-out part.

    The first three only where a run was validated at least twice after its start.
    """
    smallest = experiment.design.components[:1]
    curves = {run: validation_curve(histories[run], smallest) for run in experiment.chain}
    for run, quantity, value, unit in _levels(curves, experiment.params.level):
        note = "the level is never reached" if np.isnan(value) else ""
        yield ResultRow(
            note=note,
            split="validation",
            series="smallest",
            quantity=quantity,
            value=value,
            unit=unit,
            **experiment.tags(run),
        )
    for run in experiment.chain:
        loss = summaries[run].final_train_loss
        for split, nll in experiment.nll[run].nll.items():
            selection = experiment.selection(split, run, "chain")
            xe = selection.mean(nll, experiment.params)
            gap = Interval(xe.value - loss, xe.low - loss, xe.high - loss, xe.standard_error)
            yield selection.row("train_gap", gap, **experiment.tags(run))


def validation_curve(history: pd.DataFrame, components: list[str]) -> pd.Series:
    """Mean validation XE over `components`, by tokens seen: float64, nats; the start included."""
    chosen = (history.metric == "validation_xe") & history.component.isin(components)
    return history[chosen].groupby("tokens").value.mean()


def averaged_curve(history: pd.DataFrame) -> pd.Series:
    """Validation XE of the average of the weights, by tokens seen; empty where there is none."""
    return history[history.metric == "averaged_xe"].groupby("tokens").value.mean()


def tokens_to_reach(curve: pd.Series, level: float) -> float:
    """Tokens at which a curve first is at or below `level`, or NaN if it never is."""
    tokens, values = curve.index.to_numpy(dtype=np.float64), curve.to_numpy()
    below = np.flatnonzero(values <= level)
    if not len(below):
        return float("nan")
    index = below[0]
    if index == 0:
        return float(tokens[0])
    share = (values[index - 1] - level) / (values[index - 1] - values[index])
    return float(tokens[index - 1] + share * (tokens[index] - tokens[index - 1]))


def mean_excess(curve: pd.Series, level: float) -> float:
    """Area between a curve and `level` over the tokens that it covers, trapezoids: nats."""
    tokens = curve.index.to_numpy(dtype=np.float64)
    return float(np.trapezoid(curve.to_numpy() - level, tokens) / (tokens[-1] - tokens[0]))


def _levels(
    curves: Mapping[Run, pd.Series], level: float | None
) -> Iterator[tuple[Run, str, float, str]]:
    """(run, quantity, value, unit) of what the curves say together."""
    if min(len(curve) for curve in curves.values()) < 3:
        return
    ends = [float(curve.iloc[-1]) for curve in curves.values()]
    for run, curve in curves.items():
        if level is not None:
            yield run, "level", level, "nats"
            yield run, "tokens_to_level", tokens_to_reach(curve, level), "tokens"
        # The start, log of the vocabulary for every K, would outweigh all the rest.
        yield run, "excess_area", mean_excess(curve.iloc[1:], min(ends)), "nats"
