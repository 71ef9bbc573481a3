"""What models of one component alone show: XE by tokens, and how components differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ergokedro.analysis.best_specialists import (
    Specialist,
    best_specialists,
    chain_specialists,
)
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow

_CHOSEN = ("specialist_epochs", "specialist_rate")


def specialists(experiment: Experiment) -> Iterator[ResultRow]:
    """What the specialists show without the models of K.

    Yields
    ------
    Rows of series 'component', whose `run` is the specialist's in its first draw:

    - specialist_xe, nats per token, of the specialist of a component with `tokens` tokens on that
      component; `note` says where its epochs or rate are at an end of those that were tried;
    - specialist_epochs and specialist_rate, how many times the chain's epochs it makes and the
      chain's learning rate it has (unit '1'), each with its part of the note;
    - specialist_less_k1, what shows that S* is not the best: XE of the specialist at D less that of
      K = 1 with the schedule of the chain on the same text, where there is such a run that was not
      chosen; paired by window and draw, nats per token;
    - distinguishability, how far two components can be told apart: on the text of `component`, the
      specialist of another component (at D) less that of the component itself, paired by window
      and draw, nats per token. Zero where `trained`, so on itself; small where the other reads the
      text nearly as well.

    Distinguishability needs the specialists at D of two components or more.
    """
    best = best_specialists(experiment)
    of_chain = chain_specialists(experiment)
    for split in experiment.splits:
        for key in sorted(best.keys() & of_chain.keys()):
            yield from _less_k1(experiment, split, key[0], best[key], of_chain[key])
        for (position, _), specialist in best.items():
            yield from _by_tokens(experiment, split, position, specialist)
        yield from _distinguish(experiment, split, {p: s for (p, n), s in best.items() if n == 1})


def _by_tokens(
    experiment: Experiment, split: str, position: int, specialist: Specialist
) -> Iterator[ResultRow]:
    first, *_ = specialist.runs.values()
    name = experiment.design.components[position - 1]
    selection = experiment.selection(split, first, "component", name)
    values = (experiment.nll[run].nll[split] for run in specialist.runs.values())
    xe = selection.estimate(values, experiment.params, list(specialist.runs))
    tags = experiment.tags(first)
    notes = specialist.note, specialist.rate_note
    yield selection.row("specialist_xe", xe, note="; ".join(filter(None, notes)), **tags)
    chosen = specialist.epochs, specialist.rate
    for quantity, value, note in zip(_CHOSEN, chosen, notes, strict=True):
        yield selection.row(quantity, float(value), unit="1", note=note, **tags)


def _less_k1(
    experiment: Experiment, split: str, position: int, best: Specialist, of_chain: Specialist
) -> Iterator[ResultRow]:
    if best.runs != of_chain.runs and best.runs.keys() & of_chain.runs.keys():
        yield _paired_row(experiment, split, "specialist_less_k1", position, best, of_chain)


def _distinguish(
    experiment: Experiment, split: str, at_d: Mapping[int, Specialist]
) -> Iterator[ResultRow]:
    """Every specialist at D on every component that has one."""
    if len(at_d) < 2:
        return
    for position, own in at_d.items():
        for other in at_d.values():
            yield _paired_row(experiment, split, "distinguishability", position, other, own)


def _paired_row(
    experiment: Experiment,
    split: str,
    quantity: str,
    position: int,
    minuend: Specialist,
    subtrahend: Specialist,
) -> ResultRow:
    """XE of one specialist less that of another one, on a component, in the draws of both."""
    arrays = experiment.arrays(split)
    shared = {draw: run for draw, run in minuend.runs.items() if draw in subtrahend.runs}
    first, *_ = shared.values()
    component = experiment.design.components[position - 1]
    selection = experiment.selection(split, first, "component", component)
    differences = (
        arrays[run].astype(np.float64) - arrays[subtrahend.runs[draw]]
        for draw, run in shared.items()
    )
    estimate = selection.estimate(differences, experiment.params, list(shared))
    return selection.row(quantity, estimate, **experiment.tags(first))
