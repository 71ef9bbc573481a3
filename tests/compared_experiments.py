"""Finished experiments that differ in a known way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.comparison import Finished
from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.experiment import Experiment
from ergokedro.design.nll import ExactNLL, NLLArrays
from ergokedro.design.records import ExactMeta
from ergokedro.design.runs import Run
from ergokedro.parameters import Parameters
from synthetic_results import (
    NAMES,
    PARAMS,
    make_design,
    make_exact,
    make_manifests,
    make_results,
    make_runs,
    make_windows,
)


@cache
def _made() -> tuple[pd.DataFrame, dict[Run, NLLArrays], pd.DataFrame]:
    windows = make_windows()
    return windows, make_runs(windows, make_exact(windows), make_manifests()), make_results()


def finished(
    name: str,
    *,
    shift: float = 0.0,
    at_k: Mapping[int, float] | None = None,
    start: int = 0,
    components: Sequence[str] = NAMES,
    epochs: int = 4,
    sets: bool = False,
    **design: str,
) -> Finished:
    """An experiment on the windows of :mod:`synthetic_results`.

    Parameters
    ----------
    shift, at_k : added to the NLL of every run, and to that of some K, nats.
    start : moves the windows.
    sets : whether every set of components was run, too, with the NLL of the chain's run of its K.
    design : fields of the design, such as store.
    """
    windows, runs, results = _made()
    arrays = {}
    planned = plan_experiment([run.k for run in runs], len(NAMES), {"subsets": sets})
    of_k = {run.k: made for run, made in runs.items()}
    for run in planned:
        made = of_k[run.k]
        added = shift + (at_k or {}).get(run.k, 0.0)
        nll = {split: values + np.float32(added) for split, values in made.nll.items()}
        arrays[run] = replace(made, nll=nll)
    changed = make_design().model_copy(update={"components": list(components), **design})
    exact = ExactNLL({}, ExactMeta(available=False))
    moved = windows.assign(start=windows.start + start)
    settings: Any = {
        "training": {"epochs": epochs},
        "analysis": PARAMS.model_dump(),
        "controls": {"subsets": sets},
    }
    parameters = Parameters.model_validate(settings)
    experiment = Experiment(changed, moved, arrays, exact, parameters.analysis, {})
    return Finished(name, parameters, results, experiment)


def files_of(*experiments: Finished) -> dict[str, dict[str, Any]]:
    """Functions that read their files, as :func:`read_finished` takes them."""
    files: dict[str, dict[str, Any]] = {
        "settings": {e.name: lambda e=e: e.parameters.model_dump(mode="json") for e in experiments},
        "results": {e.name: lambda e=e: e.results for e in experiments},
        "designs": {e.name: lambda e=e: e.experiment.design for e in experiments},
        "windows": {e.name: lambda e=e: e.experiment.windows for e in experiments},
    }
    files["nll"] = {
        f"{e.name}/{run.name}": lambda nll=nll: nll
        for e in experiments
        for run, nll in e.experiment.nll.items()
    }
    return files
