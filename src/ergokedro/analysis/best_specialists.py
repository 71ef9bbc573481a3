"""The specialist of every component and size: the best of its size, S*, or another form.

A specialist is a model trained on one component alone. With n tokens it can make more or fewer
passes over them, at a higher or lower learning rate; S*_c(n) is that of the number of epochs and
the rate with the lowest cross entropy on the component's validation text, the mean over draws. All
numbers are then of test text, so that the choice does not flatter them. Those of validation text
are a little too low.

The older forms fix the number of epochs, at the rate of the chain. With equal epochs a specialist
that has less text also takes fewer steps; with equal steps it repeats its text more often. What
they call starvation is therefore not about text alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ergokedro.analysis.experiment import Experiment
from ergokedro.design.runs import Run

# Setting controls.specialist_form -> what differences between sizes hold beside the text.
CONFOUNDED = {
    "best": "",
    "epochs": "less text goes with fewer steps (controls.specialist_form=epochs)",
    "steps": "less text goes with more repetitions (controls.specialist_form=steps)",
}
_CHOSEN_ON = "validation"
# Notes of a specialist whose number of epochs, or rate, is at an end of those that were tried.
FEWEST = "the fewest epochs that were tried"
MOST = "the most epochs that were tried"
SMALLEST_RATE = "the smallest learning rate that was tried"
LARGEST_RATE = "the largest learning rate that was tried"
# Multiples of the chain's epochs and learning rate.
Protocol = tuple[float, float]


@dataclass(frozen=True)
class Specialist:
    """The specialist of one component and size.

    Attributes
    ----------
    protocol : its epochs and its learning rate as multiples of those of the chain.
    runs : draw of the training text -> its run.
    note : says so where it makes the most or the fewest epochs of several that were tried, so that
        still more or fewer might be better; else empty.
    rate_note : the same of the learning rate.
    """

    protocol: Protocol
    runs: Mapping[int, Run]
    note: str = ""
    rate_note: str = ""


# (position of the component in the design from 1, divisor of D) -> its specialist.
Specialists = Mapping[tuple[int, int], Specialist]


def best_specialists(experiment: Experiment) -> Specialists:
    """The specialist of every component and size that was trained, by `specialist_form`.

    Those of the first seed, in every draw. Epochs and a rate that were not run in as many draws as
    others are left out.
    """
    form = experiment.settings["specialist_form"]
    tried: dict[tuple[int, int], dict[Protocol, dict[int, Run]]] = {}
    for run in experiment.runs:
        if is_specialist(run) and not run.seed_offset and _has_form(run, form):
            by_protocol = tried.setdefault((run.components[0], run.divisor), {})
            by_protocol.setdefault((run.repeats, run.rate), {})[run.draw] = run
    return {key: _choose(experiment, key[0], tried[key]) for key in sorted(tried)}


def is_specialist(run: Run) -> bool:
    """Whether a run is trained on one component alone, as one component."""
    return len(run.components) == 1 and not run.pseudo


def _has_form(run: Run, form: str) -> bool:
    repeats = {"epochs": 1, "steps": run.divisor}
    return form == "best" or (run.repeats, run.rate) == (repeats[form], 1)


def _choose(
    experiment: Experiment, position: int, tried: Mapping[Protocol, Mapping[int, Run]]
) -> Specialist:
    """The lowest validation XE; of equals the fewest epochs, then the smallest rate."""
    most = max(map(len, tried.values()))
    complete = sorted(protocol for protocol, runs in tried.items() if len(runs) == most)
    if len(complete) == 1:
        return Specialist(complete[0], tried[complete[0]])
    xe = [_validation_xe(experiment, position, tried[protocol]) for protocol in complete]
    best = complete[int(np.argmin(xe))]
    epochs, rates = zip(*complete, strict=True)
    notes = _end(best[0], epochs, FEWEST, MOST), _end(best[1], rates, SMALLEST_RATE, LARGEST_RATE)
    return Specialist(best, tried[best], *notes)


def _end(chosen: float, tried: Sequence[float], least: str, most: str) -> str:
    """`least` or `most` where the chosen one is at an end of several, else nothing."""
    if min(tried) == max(tried):
        return ""
    return {min(tried): least, max(tried): most}.get(chosen, "")


def _validation_xe(experiment: Experiment, position: int, runs: Mapping[int, Run]) -> float:
    """Mean over draws of the XE on the component's validation text, nats per token."""
    name = experiment.design.components[position - 1]
    own = (experiment.windows_of(_CHOSEN_ON).component == name).to_numpy()
    means = [
        experiment.nll[run].nll[_CHOSEN_ON][own].mean(dtype=np.float64) for run in runs.values()
    ]
    return float(np.mean(means))
