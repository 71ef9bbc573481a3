"""What models of one component alone say by themselves: XE by tokens, and how components differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.decomposition import find_specialist
from ergokedro.analysis.nll import NLLArrays
from ergokedro.analysis.series import RESULT_COLUMNS, Selection, selections
from ergokedro.design.mixture import Design
from ergokedro.design.runs import Run
from ergokedro.parameters import AnalysisParameters


def specialist_table(
    nll: Mapping[Run, NLLArrays],
    windows: pd.DataFrame,
    design: Design,
    params: AnalysisParameters,
) -> pd.DataFrame:
    """What the specialists alone say, as rows of the tidy results, series 'component'.

    Parameters
    ----------
    nll : arrays of all runs that were made, chain and controls.
    windows : the evaluation windows, in the order of the arrays.

    Returns
    -------
    Quantities, nats a token, `run` being the specialist's:

    - specialist_xe, of the specialist of a component with D / `k` tokens on that component;
    - distinguishability, how far two components can be told apart: on the text of `component`, the
      specialist of another (at D) less that of the component itself, paired by window. Zero where
      `trained`, so on itself; small where the other reads the text nearly as well.

    Distinguishability takes the specialists at D of two components or more.
    """
    rows: list[dict[str, Any]] = []
    for split in windows.split.unique():
        here = windows[windows.split == split].reset_index(drop=True)
        chosen = {s.component: s for s in selections(here, design, []) if s.series == "component"}
        arrays = {run: each.nll[split] for run, each in nll.items()}
        found = [*_by_tokens(arrays, chosen, params), *_distinguish(arrays, chosen, params)]
        rows += [{**row, "split": split} for row in found]
    seeds = {run.name: each.meta["seed"] for run, each in nll.items()}
    rows = [{**row, "seed": seeds[row["run"]]} for row in rows]
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def _by_tokens(
    arrays: Mapping[Run, np.ndarray], chosen: dict[str, Selection], params: AnalysisParameters
) -> Iterator[dict[str, Any]]:
    ks = sorted({run.k for run in arrays if run.in_chain} | {1})
    for place, (name, selection) in enumerate(chosen.items(), start=1):
        for k in ks:
            run = find_specialist(list(arrays), place, k)
            if run:
                interval = selection.mean(arrays[run], params)
                yield _row("specialist_xe", run, k, name, selection, True, interval)


def _distinguish(
    arrays: Mapping[Run, np.ndarray], chosen: dict[str, Selection], params: AnalysisParameters
) -> Iterator[dict[str, Any]]:
    runs = list(arrays)
    found = {name: find_specialist(runs, place, 1) for place, name in enumerate(chosen, start=1)}
    made = {name: run for name, run in found.items() if run}
    if len(made) < 2:
        return
    for component, own in made.items():
        for name, run in made.items():
            difference = arrays[run].astype(np.float64) - arrays[own]
            interval = chosen[component].mean(difference, params)
            same = name == component
            yield _row("distinguishability", run, 1, component, chosen[component], same, interval)


def _row(
    quantity: str,
    run: Run,
    k: int,
    component: str,
    selection: Selection,
    trained: bool,
    interval: Interval,
) -> dict[str, Any]:
    tags = {**selection.tags(), "trained": trained, "run": run.name, "k": k, "component": component}
    values = {"position": 0, "unit": "nats", **interval._asdict()}
    return {**tags, "quantity": quantity, **values}
