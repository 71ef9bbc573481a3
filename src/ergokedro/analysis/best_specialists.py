"""The specialist of every component and size: the best of its size, S*, or another form.

A specialist is a model trained on one component alone. With n tokens it can make more or fewer
passes over them, at a higher or lower learning rate; S*_c(n) is that of the number of epochs and
the rate with the lowest cross entropy on the component's validation text. By default each run finds
its number of epochs (:mod:`ergokedro.training.averaging`); with `specialist_form=grid` there is a
run for each, and the mean over draws decides, as it does over rates. All numbers are then of test
text, so that the choice does not flatter them. Those of validation text are a little too low.

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
    "grid": "",
    "epochs": "less text goes with fewer steps (controls.specialist_form=epochs)",
    "steps": "less text goes with more repetitions (controls.specialist_form=steps)",
}
_CHOSEN_ON = "validation"
# Notes of a specialist whose number of epochs, or rate, is at an end of those that were tried.
FEWEST = "the fewest epochs that were tried"
MOST = "the most epochs that were tried"
SMALLEST_RATE = "the smallest learning rate that was tried"
LARGEST_RATE = "the largest learning rate that was tried"
# Multiples of the chain's epochs and learning rate, and whether those epochs are only the most.
Protocol = tuple[float, float, bool]


@dataclass(frozen=True)
class Specialist:
    """The specialist of one component and size.

    Attributes
    ----------
    epochs, rate : as multiples of those of the chain; the mean over draws where each finds its own.
    runs : draw of the training text -> its run.
    note : says so where it makes the most or the fewest epochs of several that were tried, so that
        still more or fewer might be better; else empty.
    rate_note : the same of the learning rate.
    """

    epochs: float
    rate: float
    runs: Mapping[int, Run]
    note: str = ""
    rate_note: str = ""


# (position of the component in the design from 1, divisor of D) -> its specialist.
Specialists = Mapping[tuple[int, int], Specialist]


def best_specialists(experiment: Experiment) -> Specialists:
    """The specialist of every component and size that was trained, by `specialist_form`.

    Without the control, that is the chain's K = 1 alone. Those of the first seed, in every draw.
    Epochs and a rate that were not run in as many draws as others are left out.
    """
    settings = experiment.settings
    form = settings["specialist_form"] if settings["specialists"] else "epochs"
    return _of_form(experiment, form)


def chain_specialists(experiment: Experiment) -> Specialists:
    """K = 1 of every component that was run as such: D tokens, epochs and rate of the chain."""
    with_equal_epochs = _of_form(experiment, "epochs")
    return {key: one for key, one in with_equal_epochs.items() if key[1] == 1}


def _of_form(experiment: Experiment, form: str) -> Specialists:
    tried: dict[tuple[int, int], dict[Protocol, dict[int, Run]]] = {}
    for run in experiment.runs:
        if is_specialist(run) and not run.seed_offset and _has_form(run, form):
            by_protocol = tried.setdefault((run.components[0], run.divisor), {})
            by_protocol.setdefault(protocol_of(run), {})[run.draw] = run
    return {key: _choose(experiment, key[0], tried[key]) for key in sorted(tried)}


def is_specialist(run: Run) -> bool:
    """Whether a run is trained on one component alone, as one component."""
    return len(run.components) == 1 and not run.pseudo


def protocol_of(run: Run) -> Protocol:
    """How the run is trained, whatever its text."""
    return run.repeats, run.rate, run.search


def _has_form(run: Run, form: str) -> bool:
    if form in ("best", "grid"):
        return run.search == (form == "best")
    return protocol_of(run) == (run.divisor if form == "steps" else 1, 1, False)


def _choose(
    experiment: Experiment, position: int, tried: Mapping[Protocol, Mapping[int, Run]]
) -> Specialist:
    """The lowest validation XE; of equals the fewest epochs, then the smallest rate."""
    draws = max(map(len, tried.values()))
    complete = sorted(protocol for protocol, runs in tried.items() if len(runs) == draws)
    best = complete[0]
    if len(complete) > 1:
        xe = [_validation_xe(experiment, position, tried[protocol]) for protocol in complete]
        best = complete[int(np.argmin(xe))]
    most, rate, search = best
    epochs, rates, _ = zip(*complete, strict=True)
    note = _end(most, epochs, FEWEST, MOST)
    made: float = most
    if search:
        made = float(np.mean([experiment.best_epochs[run] for run in tried[best].values()]))
        note = MOST if made >= most else ""
    rate_note = _end(rate, rates, SMALLEST_RATE, LARGEST_RATE)
    return Specialist(made, rate, tried[best], note, rate_note)


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
