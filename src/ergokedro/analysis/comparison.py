"""Finished experiments side by side, paired where they were measured on the same windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ergokedro.analysis.contrasts import PairedDifference, Replicates, chain_replicates
from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.controls.subsets import balanced_replicates
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ByRepeat, ResultRow, Selection, results_table
from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.nll import Arrays, NLLArrays
from ergokedro.design.records import ExactMeta
from ergokedro.design.runs import Run
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import Parameters

# Name -> function that reads the file, of all experiments or of all their runs.
Files = Mapping[str, Callable[[], Any]]
# The controls whose runs are compared: others may be those of a plugin.
_COMPARED = ("subsets", "draws", "seeds")


@dataclass(frozen=True)
class Finished:
    """One finished experiment.

    Attributes
    ----------
    parameters : with which it was analysed and trained.
    results : tidy table of its results.
    experiment : its chain and its sets of components, in every draw and with every seed.
    """

    name: str
    parameters: Parameters
    results: pd.DataFrame
    experiment: Experiment

    @property
    def arrays(self) -> list[NLLArrays]:
        """The NLL of all runs."""
        return list(self.experiment.nll.values())

    @property
    def measured_on(self) -> tuple[str, str, str]:
        """Fingerprints of token store, tokenizer and evaluation windows."""
        design = self.experiment.design
        return design.store, design.tokenizer, windows_fingerprint(self.experiment.windows)


def read_finished(
    names: str, settings: Files, results: Files, designs: Files, windows: Files, nll: Files
) -> list[Finished]:
    """Read experiments.

    Parameters
    ----------
    names : joined by '+'.
    settings, results, designs, windows : by experiment.
    nll : by experiment and run, as 'synthetic/k3'.

    Raises
    ------
    ErgokedroError
        If fewer than two are named, or one is unknown or unfinished; it names those that exist.
    """
    asked = list(dict.fromkeys(name.strip() for name in names.split("+") if name.strip()))
    complete = [
        name for name in settings if name in results and name in designs and name in windows
    ]
    there_are = f"Finished: {', '.join(sorted(complete)) or 'none'}."
    if len(asked) < 2:
        raise ErgokedroError(
            f"experiments = {names!r} names fewer than two experiments. Join names by '+', as in "
            f"--params experiments=first+second. {there_are}"
        )
    for name in asked:
        if name in complete:
            continue
        problem = "is not finished" if name in designs or name in results else "does not exist"
        raise ErgokedroError(
            f"experiments = {names!r}: {name} {problem}. {there_are} Run it, or its analysis, with "
            f"`kedro run --params experiment={name}` and its own settings."
        )
    return [
        _read(name, settings[name](), results[name](), designs[name](), windows[name](), nll)
        for name in asked
    ]


def _read(
    name: str,
    settings: dict[str, Any],
    results: pd.DataFrame,
    design: Any,
    windows: pd.DataFrame,
    nll: Files,
) -> Finished:
    parameters = Parameters.model_validate(settings)
    controls = {key: value for key, value in parameters.controls.items() if key in _COMPARED}
    ks = sorted(int(k) for k in results[results.series == "chain"].k.unique())
    runs = plan_experiment(ks, len(design.components), controls)
    arrays = {run: _nll_of(name, run, nll) for run in runs}
    exact = Arrays({}, ExactMeta(available=False))
    experiment = Experiment(design, windows, arrays, exact, parameters.analysis, {})
    return Finished(name, parameters, results, experiment)


def _nll_of(experiment: str, run: Run, nll: Files) -> NLLArrays:
    key = f"{experiment}/{run.name}"
    if key not in nll:
        raise ErgokedroError(
            f"{experiment} is not finished: the NLL of {run.name} is missing. Run `kedro run "
            f"--pipelines training --params experiment={experiment}` with its own settings."
        )
    arrays: NLLArrays = nll[key]()
    return arrays


def compare(experiments: list[Finished]) -> pd.DataFrame:
    """The effects of K of all experiments, and paired differences to the first of them.

    Returns
    -------
    Rows with the columns of the results, and in front `experiment` and `reference`. Without a
    reference, rows of the experiment's own results: difference_to_k1 of the series 'smallest' and
    'balanced', and xe. With one, where both were measured on the same windows:

    - xe_difference, of series 'all', of 'smallest' where that is the same component, and of
      'balanced' where both have sets of the same components: XE of K in the experiment less that
      in the reference;
    - effect_difference, of series 'smallest' and 'balanced': the difference to K = 1 less that in
      the reference.
    """
    tables = [_own_rows(finished) for finished in experiments]
    first, *others = experiments
    for other in others:
        if other.measured_on == first.measured_on:
            rows = results_table(paired_rows(first.experiment, other.experiment))
            rows.insert(0, "reference", first.name)
            rows.insert(0, "experiment", other.name)
            tables.append(rows)
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def _own_rows(finished: Finished) -> pd.DataFrame:
    """The rows of an experiment's own results that are compared."""
    results = finished.results
    series = results.series.isin(["smallest", "balanced"])
    chosen = results.quantity.isin(["xe", "difference_to_k1"]) & series & (results.position == 0)
    rows = results[chosen].reset_index(drop=True)
    rows.insert(0, "reference", "")
    rows.insert(0, "experiment", finished.name)
    return rows


def paired_rows(first: Experiment, other: Experiment) -> Iterator[ResultRow]:
    """Differences `other` less `first` on the same windows, over the draws and seeds of both.

    Intervals hold the chance of documents, and of draws and seeds where there are several, as
    those of :func:`ergokedro.analysis.contrasts.series_contrasts`. They are not corrected for the
    number of comparisons.
    """
    for split in first.splits:
        mine, theirs = (chain_replicates(e, split) for e in (first, other))
        yield from _differences(first, split, "all", mine, theirs)
        if first.design.components[0] == other.design.components[0]:
            yield from _differences(first, split, "smallest", mine, theirs)
        if set(first.design.components) == set(other.design.components):
            mine, theirs = (balanced_replicates(e, split) for e in (first, other))
            yield from _differences(first, split, "balanced", mine, theirs)


def _differences(
    first: Experiment, split: str, series: str, mine: Replicates, theirs: Replicates
) -> Iterator[ResultRow]:
    """Of XE at every K that both have; and of the effects, but in the series 'all': there the text
    changes with K."""
    run = first.chain[0]
    if series == "balanced":
        everywhere = first.selection(split, run, "all")
        selection = replace(everywhere, series=series, trained=True)
    else:
        selection = first.selection(split, run, series)
    for k in sorted(mine.keys() & theirs.keys()):
        difference = PairedDifference(theirs[k], mine[k])
        yield from _row(first, selection, "xe_difference", k, difference)
        if series != "all" and k > 1 and 1 in mine and 1 in theirs:
            at_k1 = PairedDifference(theirs[1], mine[1])
            effect = PairedDifference(difference, at_k1)
            yield from _row(first, selection, "effect_difference", k, effect)


def _row(
    first: Experiment, selection: Selection, quantity: str, k: int, values: ByRepeat
) -> Iterator[ResultRow]:
    if values:
        estimate = selection.estimate_repeats(values, first.params)
        yield selection.row(quantity, estimate, run=f"k{k}", k=k)
