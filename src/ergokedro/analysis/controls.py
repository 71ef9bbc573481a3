"""What the control runs say: balanced subsets, growing totals, pseudo-components, seeds.

Rows of the tidy results, in series of their own:

- balanced: the mean over all subsets of size K, in which every component weighs the same at every
  K, so that category identity drops out;
- growing: the smallest component, read by models of K components that each give the same number of
  tokens at every K;
- pseudo: one component, read by models of K random parts of itself. Here K means nothing, so the
  differences to K = 1 must vanish within their intervals;
- seeds: the chain, once for each seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import comb
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.nll import NLLArrays
from ergokedro.analysis.series import RESULT_COLUMNS, Selection, selections
from ergokedro.design.mixture import Design
from ergokedro.design.runs import Run, chain, find_run, growing_runs, pseudo_runs
from ergokedro.parameters import AnalysisParameters, ControlParameters


def control_table(
    nll: Mapping[Run, NLLArrays],
    windows: pd.DataFrame,
    design: Design,
    controls: ControlParameters,
    params: AnalysisParameters,
) -> pd.DataFrame:
    """The rows of all control series whose runs were made.

    Parameters
    ----------
    nll : arrays of all runs, chain and controls.
    windows : the evaluation windows, in the order of the arrays.

    Returns
    -------
    Quantities xe and difference_to_k1 (paired by window; none for seeds), nats a token, and
    seed_spread, the standard deviation of the chain's xe over seeds.
    """
    ks = [run.k for run in nll if run.in_chain]
    growing = growing_runs(ks) if controls.growing else []
    pseudo = pseudo_runs(ks, len(design.components)) if controls.pseudo else []
    rows: list[dict[str, Any]] = []
    for split in windows.split.unique():
        here = windows[windows.split == split].reset_index(drop=True)
        by_name = {s.component or s.series: s for s in selections(here, design, design.components)}
        arrays = {run: each.nll[split] for run, each in nll.items()}
        series = {
            "balanced": (by_name["all"], _balanced(arrays, here, design)),
            "growing": (by_name["smallest"], _by_k(arrays, growing)),
            "pseudo": (by_name[design.components[-1]], _by_k(arrays, pseudo)),
        }
        for name, (selection, by_k) in series.items():
            rows += [{**row, "split": split} for row in _contrasts(name, selection, by_k, params)]
        rows += [{**row, "split": split} for row in _seeds(nll, split, here, design, params)]
    table = pd.DataFrame(rows, columns=RESULT_COLUMNS)
    return table.assign(unit="nats", position=0)


def _balanced(
    arrays: dict[Run, np.ndarray], windows: pd.DataFrame, design: Design
) -> dict[int, np.ndarray]:
    """K -> NLL of every window, averaged over the subsets of size K that hold its component.

    Only those K of which every subset was made.
    """
    n = len(design.components)
    place = windows.component.map({c: i for i, c in enumerate(design.components, 1)}).to_numpy()
    plain = {
        run.components: array
        for run, array in arrays.items()
        if not run.pseudo
        and run.seed_offset == 0
        and run.repeats == 1
        and run.divisor == len(run.components)
    }
    by_k = {}
    for k in range(1, n + 1):
        subsets = {s: array for s, array in plain.items() if len(s) == k}
        if len(subsets) < comb(n, k):
            continue
        total = np.zeros(next(iter(subsets.values())).shape)
        for subset, array in subsets.items():
            seen = np.isin(place, subset)
            total[seen] += array[seen]
        by_k[k] = total / comb(n - 1, k - 1)
    return by_k if len(by_k) > 1 else {}


def _by_k(arrays: dict[Run, np.ndarray], wanted: list[Run]) -> dict[int, np.ndarray]:
    """K -> NLL of those of the runs that were made, whatever their names."""
    found = {run.k: find_run(arrays, run) for run in wanted}
    return {k: arrays[run] for k, run in found.items() if run}


def _contrasts(
    series: str, selection: Selection, by_k: dict[int, np.ndarray], params: AnalysisParameters
) -> Iterator[dict[str, Any]]:
    tags = {**selection.tags(), "series": series, "run": series, "seed": 0}
    for k, values in sorted(by_k.items()):
        xe = selection.mean(values, params)
        yield {**tags, "k": k, "quantity": "xe", **xe._asdict()}
        if k > 1 and 1 in by_k:
            difference = selection.mean(values.astype(np.float64) - by_k[1], params)
            yield {**tags, "k": k, "quantity": "difference_to_k1", **difference._asdict()}


def _seeds(
    nll: Mapping[Run, NLLArrays],
    split: str,
    windows: pd.DataFrame,
    design: Design,
    params: AnalysisParameters,
) -> Iterator[dict[str, Any]]:
    """The chain's XE for each seed, and its spread, where there are several seeds."""
    repeated = [run for run in nll if run.name.startswith("seeds.")]
    for k in sorted({run.k for run in repeated}):
        (selection,) = (
            s for s in selections(windows, design, design.components[:k]) if s.series == "chain"
        )
        runs = [run for run in [find_run(nll, chain(k)), *repeated] if run and run.k == k]
        tags = {**selection.tags(), "series": "seeds", "k": k}
        values = []
        for run in runs:
            xe = selection.mean(nll[run].nll[split], params)
            values.append(xe.value)
            here = {"run": run.name, "seed": nll[run].meta["seed"], "quantity": "xe"}
            yield {**tags, **here, **xe._asdict()}
        spread = {"quantity": "seed_spread", "run": f"k{k}", "seed": len(values)}
        yield {**tags, **spread, "value": float(np.std(values, ddof=1))}
