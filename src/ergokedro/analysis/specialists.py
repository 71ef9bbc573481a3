"""What models of one component alone show: XE by tokens, and how components differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ergokedro.analysis.decomposition import find_specialist
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.runs import Run


def specialists(experiment: Experiment) -> Iterator[ResultRow]:
    """What the specialists show without the models of K.

    Yields
    ------
    Rows of series 'component', nats per token, whose `run` is the specialist's:

    - specialist_xe, of the specialist of a component with `tokens` tokens on that component;
    - distinguishability, how far two components can be told apart: on the text of `component`, the
      specialist of another component (at D) less that of the component itself, paired by window.
      Zero where `trained`, so on itself; small where the other reads the text nearly as well.

    Distinguishability needs the specialists at D of two components or more.
    """
    for split in experiment.splits:
        yield from _by_tokens(experiment, split)
        yield from _distinguish(experiment, split)


def _by_tokens(experiment: Experiment, split: str) -> Iterator[ResultRow]:
    divisors = sorted({run.k for run in experiment.chain} | {1})
    for position, name in enumerate(experiment.design.components, start=1):
        for divisor in divisors:
            run = find_specialist(experiment.runs, position, divisor)
            if run:
                selection = experiment.selection(split, run, "component", name)
                interval = selection.mean(experiment.nll[run].nll[split], experiment.params)
                yield selection.row("specialist_xe", interval, **experiment.tags(run))


def _distinguish(experiment: Experiment, split: str) -> Iterator[ResultRow]:
    """Every specialist at D on every component that has one."""
    at_d: dict[str, Run] = {}
    for position, name in enumerate(experiment.design.components, start=1):
        if run := find_specialist(experiment.runs, position, 1):
            at_d[name] = run
    if len(at_d) < 2:
        return
    arrays = experiment.arrays(split)
    for component, own in at_d.items():
        for run in at_d.values():
            selection = experiment.selection(split, run, "component", component)
            difference = arrays[run].astype(np.float64) - arrays[own]
            interval = selection.mean(difference, experiment.params)
            yield selection.row("distinguishability", interval, **experiment.tags(run))
