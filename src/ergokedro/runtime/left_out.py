"""A warning where a command replaces the report by one that has fewer runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from itertools import groupby

from kedro.io import CatalogProtocol, DatasetError
from pydantic import ValidationError

from ergokedro.analysis.controls import plan_experiment, read_settings
from ergokedro.design.runs import Run
from ergokedro.errors import ErgokedroError
from ergokedro.files import flatten
from ergokedro.parameters import Parameters


def left_out(catalog: CatalogProtocol, parameters: Parameters) -> str | None:
    """The warning: which runs the next report lacks, and the command that restores the present one.

    None where no run is left out, or the present report is of another version.

    Parameters
    ----------
    parameters : of the command; those of the present report are in the dataset `settings`.
    """
    try:
        before = Parameters.model_validate(catalog.load("settings"))
        before = before.model_copy(update={"controls": read_settings(before.controls)})
        earlier = _planned(before)
    except (DatasetError, ValidationError, ErgokedroError):
        return None
    names = {run.name for run in _planned(parameters)}
    lost = [r for r in earlier if r.name not in names and catalog.exists(f"{r.name}.nll")]
    if not lost:
        return None
    params = shlex.quote(_changes(before, parameters))
    # Another mixture is another design, whose manifests must be made again.
    analysis = "--pipeline analysis " if before.mixture == parameters.mixture else ""
    return (
        f"This command's report replaces one that also has {' and '.join(_describe(lost))}. To "
        f"write that again: `kedro run {analysis}--params {params}`, with the same --env and other "
        "--params. To keep both: experiment=NAME among --params."
    )


def _planned(parameters: Parameters) -> list[Run]:
    return plan_experiment(parameters.runs, parameters.n_components, parameters.controls)


def _describe(runs: list[Run]) -> Iterable[str]:
    """The values of K of the chain, and how many runs each control has."""
    for control, group in groupby(sorted(runs, key=lambda run: run.control), lambda r: r.control):
        members = list(group)
        if control:
            yield f"{len(members)} run{'s' * (len(members) > 1)} of {control}"
        else:
            yield f"K = {', '.join(str(run.k) for run in members)}"


def _changes(before: Parameters, now: Parameters) -> str:
    """The settings of `before` that choose its runs and are others in `now`, as for --params."""
    earlier, present = (
        flatten(params.model_dump(mode="json", include={"k", "mixture", "controls"}))
        for params in (before, now)
    )
    changed = {n: value for n, value in earlier.items() if n not in present or present[n] != value}
    return ",".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in changed.items()
    )
