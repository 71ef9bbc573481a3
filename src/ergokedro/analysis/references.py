"""What published models give on the same held-out windows, beside which K can be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.contrasts import chain_replicates
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.measurement import curves
from ergokedro.analysis.series import ByRepeat, ResultRow, Selection, selections
from ergokedro.analysis.text_units import bits_per_byte
from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.nll import ReferenceNLL
from ergokedro.errors import ErgokedroError

SERIES = "reference"
_PAIRED = ("chain", "smallest", "all")
_OTHER_TOKENS = "other tokenizer: nats of the same characters, per token of this experiment"


def references(experiment: Experiment) -> Iterator[ResultRow]:
    """Rows of every published model, in series 'reference'.

    Yields
    ------
    For the text of each component, and of the first K components for every K of the chain and for
    all of them (`component` is empty, and `k` says how many):

    - xe, nats per token, and bits_per_byte. Where the model's tokenizer gives other tokens, `note`
      says so, and xe is in nats per token of the experiment's own tokenizer;
    - in_context_xe and binned_in_context_xe, not for each component.

    Then the rows of :func:`less_runs`.
    """
    n = len(experiment.design.components)
    ks = sorted({1, n, *(run.k for run in experiment.chain)})
    for run, arrays in experiment.references.items():
        tags: dict[str, Any] = {"run": run, "series": SERIES, "trained": False}
        for split, nll in arrays.nll.items():
            for k, selection in _selections(experiment, split, ks):
                for row in _rows(experiment, selection, nll):
                    note = "" if arrays.meta.same_tokens else _OTHER_TOKENS
                    yield replace(row, k=k, **tags, note=row.note or note)
    yield from less_runs(experiment)


def less_runs(experiment: Experiment) -> Iterator[ResultRow]:
    """Rows of every published model less each K of the chain, paired by window.

    Yields
    ------
    In the series of the runs (chain, smallest and all), `run` being the published model and `k` the
    run's, over all draws and seeds of this K:

    - bits_per_byte_less_run;
    - xe_less_run, nats per token, where the model's tokenizer gives the tokens of the experiment.
    """
    for split in experiment.splits if experiment.references else ():
        replicates = chain_replicates(experiment, split)
        for run, arrays in experiment.references.items():
            for trained in experiment.chain:
                differences = {
                    repeat: arrays.nll[split].astype(np.float64) - nll
                    for repeat, nll in replicates[trained.k].items()
                }
                for selection in experiment.selections(split, trained):
                    if selection.series in _PAIRED:
                        for row in _paired_rows(experiment, selection, differences, arrays):
                            yield replace(row, run=run, k=trained.k)


def _paired_rows(
    experiment: Experiment,
    selection: Selection,
    differences: ByRepeat,
    arrays: ReferenceNLL,
) -> Iterator[ResultRow]:
    bits = bits_per_byte(experiment, selection, differences)
    yield replace(bits, quantity="bits_per_byte_less_run")
    if arrays.meta.same_tokens:
        value = selection.estimate_repeats(differences, experiment.params)
        yield selection.row("xe_less_run", value, run="", k=0)


def _selections(
    experiment: Experiment, split: str, ks: list[int]
) -> Iterator[tuple[int, Selection]]:
    """Each component alone, then the first K of them."""
    windows, design = experiment.windows_of(split), experiment.design
    for selection in selections(windows, split, design, []):
        if selection.series == "component":
            yield 1, selection
    for k in ks:
        yield k, selections(windows, split, design, design.components[:k])[0]


def _rows(experiment: Experiment, selection: Selection, nll: np.ndarray) -> Iterator[ResultRow]:
    tags: dict[str, Any] = {"run": "", "k": 0}
    yield selection.row("xe", selection.mean(nll, experiment.params), **tags)
    yield bits_per_byte(experiment, selection, {(0, 0): nll})
    if not selection.component:
        for quantity, position, value in curves("in_context_xe", nll, selection, experiment.params):
            yield selection.row(quantity, value, position=position, **tags)


def check_references(
    measured: Mapping[str, ReferenceNLL], windows: pd.DataFrame, store: str
) -> None:
    """Raise an error if published models were measured on other windows than the runs.

    Parameters
    ----------
    store : fingerprint of the design's token store.

    Raises
    ------
    ErgokedroError
        With the command that measures them anew.
    """
    current = (windows_fingerprint(windows), store)
    for run, arrays in measured.items():
        fingerprints = arrays.meta.fingerprints
        if (fingerprints.evaluation_windows, fingerprints.store) != current:
            raise ErgokedroError(
                f"The results of {run} are stale: they were measured on other windows than the "
                "present ones. Run `kedro run --pipelines training` to renew them."
            )
