"""What the NLL arrays say: XE by K and component, in context, against the optimum, with intervals.

Three series of XE against K are kept apart, because they answer different questions: `chain` (the
mean over the components that K was trained on), `smallest` (the first component alone, which every
K was trained on: a fixed set of windows) and `all` (the mean over all chosen components, seen in
training or not). Every component weighs the same in a mean; within it, every token does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.random_effects import Estimate
from ergokedro.analysis.series import ResultRow, Selection, selections
from ergokedro.analysis.training_text import TrainingText
from ergokedro.design.mixture import Design
from ergokedro.design.nll import NLLArrays
from ergokedro.parameters import AnalysisParameters

# Positions of the in-context gain: the first 4 and the last 10 predictions (2..5, 91..100).
_GAIN_FIRST, _GAIN_LAST = 4, 10


def component_means(nll: NLLArrays, windows: pd.DataFrame) -> pd.DataFrame:
    """Mean NLL by split and component, and over all components, each weighing the same.

    Returns
    -------
    Columns split, component (None for all), xe (nats per token).
    """
    rows = []
    for split, values in nll.nll.items():
        component = windows.component[windows.split == split].to_numpy()
        means = pd.Series(values.mean(axis=1, dtype=np.float64)).groupby(component).mean()
        rows += [(split, name, float(xe)) for name, xe in means.items()]
        rows.append((split, None, float(means.mean())))
    table = pd.DataFrame(rows, columns=["split", "component", "xe"], dtype=object)
    return table.astype({"xe": float})


def run_xe(
    nll: NLLArrays,
    windows: pd.DataFrame,
    design: Design,
    components: list[str],
    params: AnalysisParameters,
    split: str = "test",
) -> Estimate:
    """XE of one run over the components it was trained on, as in series `chain` of the results."""
    chain = selections(windows[windows.split == split], split, design, components)[0]
    return chain.mean(nll.nll[split], params)


def measure(experiment: Experiment) -> Iterator[ResultRow]:
    """XE of the chain's runs: by K and component, in context, and against the optimum.

    Yields
    ------
    One row per number, nats per token, of the chain's own run of each K. Quantities:

    - xe;
    - in_context_xe, L(t) by position, and binned_in_context_xe, its means over bins of positions
      that widen, at their geometric middle;
    - in_context_gain, L(t) over the first 4 predictions less that over the last 10, by window;
    - exact_xe, exact_in_context_xe, exact_binned_in_context_xe, of the exact Bayes reader of the K
      sources, and excess of xe over exact_xe, paired by window. Only where all components were
      trained on: elsewhere that reader is no optimum;
    - end_of_text_excess, the part of the excess that a reader loses by the end-of-text token, which
      no window has: see :mod:`ergokedro.analysis.training_text`.
    """
    for run in experiment.chain:
        tags = experiment.tags(run)
        for split, nll in experiment.nll[run].nll.items():
            optimum = experiment.exact.nll.get(f"{split}/{run.name}")
            for selection in experiment.selections(split, run):
                best = optimum if selection.trained else None
                for quantity, position, value in _quantities(
                    nll, selection, experiment.params, best
                ):
                    yield selection.row(quantity, value, position=position, **tags)
                if best is not None and experiment.text is not None:
                    cost = _end_of_text(experiment.text, experiment.design, selection)
                    yield selection.row("end_of_text_excess", cost, **tags)


def _quantities(
    nll: np.ndarray,
    selection: Selection,
    params: AnalysisParameters,
    optimum: np.ndarray | None,
) -> Iterator[tuple[str, int, Estimate]]:
    """(quantity, position, estimate) of one run on one selection."""
    yield "xe", 0, selection.mean(nll, params)
    if optimum is not None:
        yield "exact_xe", 0, selection.mean(optimum, params)
        yield "excess", 0, selection.mean(nll - optimum, params)
    if selection.series == "component":
        return
    yield from curves("in_context_xe", nll, selection, params)
    yield "in_context_gain", 0, selection.mean(in_context_gain(nll), params)
    if optimum is not None:
        yield from curves("exact_in_context_xe", optimum, selection, params)


def _end_of_text(text: TrainingText, design: Design, selection: Selection) -> float:
    """What the end-of-text token costs, the mean over the selection's components."""
    names = [design.components[number] for number in np.unique(selection.strata)]
    return float(np.mean([text.end_of_text[name] for name in names]))


def in_context_gain(nll: np.ndarray) -> np.ndarray:
    """Mean NLL of the first 4 predictions of each window less that of its last 10.

    Parameters
    ----------
    nll : (windows, W - 1), nats.

    Returns
    -------
    float64 (windows, 1), nats per token.
    """
    first = nll[:, :_GAIN_FIRST].mean(axis=1, dtype=np.float64)
    last = nll[:, -_GAIN_LAST:].mean(axis=1, dtype=np.float64)
    return np.asarray(first - last)[:, None]


def curves(
    quantity: str, nll: np.ndarray, selection: Selection, params: AnalysisParameters
) -> Iterator[tuple[str, int, Estimate]]:
    """L(t) by position 2..W, then its means over bins of positions."""
    prefix = quantity.removesuffix("in_context_xe")
    for position, estimate in enumerate(selection.by_position(nll, params), start=2):
        yield quantity, position, estimate
    bins = position_bins(nll.shape[1] + 1)
    means = [nll[:, a - 2 : b - 2].mean(axis=1, dtype=np.float64) for a, b in bins]
    estimates = selection.by_position(np.stack(means, axis=1), params)
    for (first, stop), estimate in zip(bins, estimates, strict=True):
        yield f"{prefix}binned_in_context_xe", round(np.sqrt(first * (stop - 1))), estimate


def position_bins(last: int) -> list[tuple[int, int]]:
    """Bins [first, stop) of the positions 2..last that widen by a third."""
    bins, first = [], 2
    while first <= last:
        stop = min(last + 1, max(first + 1, round(first * 4 / 3)))
        # A last bin too narrow to be worth a point goes to the one before it.
        stop = last + 1 if stop + (stop - first) // 2 > last else stop
        bins.append((first, stop))
        first = stop
    return bins


def xe_table(results: pd.DataFrame, design: Design, split: str = "test") -> pd.DataFrame:
    """The short table: one row per K, nats per token.

    Returns
    -------
    Columns k, components, xe, low, high (series chain), smallest (XE of the smallest component),
    and where the optimum is known optimum and excess.
    """
    whole_windows = (
        results[(results.split == split) & (results.position == 0)].set_index("k").sort_index()
    )

    def rows(quantity: str, series: str) -> pd.DataFrame:
        return whole_windows[
            (whole_windows.quantity == quantity) & (whole_windows.series == series)
        ]

    xe = rows("xe", "chain")
    table = xe[["value", "low", "high"]].rename(columns={"value": "xe"})
    table.insert(0, "components", [", ".join(design.components[:k]) for k in xe.index])
    table["smallest"] = rows("xe", "smallest").value
    excess = rows("excess", "chain")
    if len(excess):
        table["optimum"] = rows("exact_xe", "chain").value
        table["excess"] = excess.value
    return table.reset_index()
