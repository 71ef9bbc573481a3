"""The specialist of every component and size: the best of its size, S*, or another form.

A specialist is a model trained on one component alone. With n tokens it can make more or fewer
passes over them; S*_c(n) is the number of epochs with the lowest cross entropy on the component's
validation text, the mean over draws. All numbers are then of test text, so that the choice does
not flatter them. Those of validation text are a little too low.

The older forms fix the number of epochs. With equal epochs a specialist that has less text also
takes fewer steps; with equal steps it repeats its text more often. What they call starvation is
therefore not about text alone.
"""

from __future__ import annotations

from collections.abc import Mapping
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
# Notes of a specialist whose number of epochs is at an end of those that were tried.
FEWEST = "the fewest epochs that were tried"
MOST = "the most epochs that were tried"


@dataclass(frozen=True)
class Specialist:
    """The specialist of one component and size.

    Attributes
    ----------
    repeats : its epochs as a multiple of those of the chain.
    runs : draw of the training text -> its run.
    note : says so where it makes the most or the fewest epochs of several that were tried, so that
        still more or fewer might be better; else empty.
    """

    repeats: float
    runs: Mapping[int, Run]
    note: str = ""


# (position of the component in the design from 1, divisor of D) -> its specialist.
Specialists = Mapping[tuple[int, int], Specialist]


def best_specialists(experiment: Experiment) -> Specialists:
    """The specialist of every component and size that was trained, by `specialist_form`.

    Those of the first seed, in every draw. A number of epochs that was not run in as many draws as
    another one is left out.
    """
    form = experiment.settings["specialist_form"]
    tried: dict[tuple[int, int], dict[float, dict[int, Run]]] = {}
    for run in experiment.runs:
        if is_specialist(run) and not run.seed_offset and _has_form(run, form):
            by_repeats = tried.setdefault((run.components[0], run.divisor), {})
            by_repeats.setdefault(run.repeats, {})[run.draw] = run
    return {key: _choose(experiment, key[0], tried[key]) for key in sorted(tried)}


def is_specialist(run: Run) -> bool:
    """Whether a run is trained on one component alone, as one component."""
    return len(run.components) == 1 and not run.pseudo


def _has_form(run: Run, form: str) -> bool:
    repeats = {"epochs": 1, "steps": run.divisor}
    return form == "best" or run.repeats == repeats[form]


def _choose(
    experiment: Experiment, position: int, tried: Mapping[float, Mapping[int, Run]]
) -> Specialist:
    """The number of epochs with the lowest validation XE; of equals the fewest epochs."""
    most = max(map(len, tried.values()))
    complete = sorted(repeats for repeats, runs in tried.items() if len(runs) == most)
    if len(complete) == 1:
        return Specialist(complete[0], tried[complete[0]])
    xe = [_validation_xe(experiment, position, tried[repeats]) for repeats in complete]
    best = int(np.argmin(xe))
    note = {0: FEWEST, len(complete) - 1: MOST}.get(best, "")
    return Specialist(complete[best], tried[complete[best]], note)


def _validation_xe(experiment: Experiment, position: int, runs: Mapping[int, Run]) -> float:
    """Mean over draws of the XE on the component's validation text, nats per token."""
    name = experiment.design.components[position - 1]
    own = (experiment.windows_of(_CHOSEN_ON).component == name).to_numpy()
    means = [
        experiment.nll[run].nll[_CHOSEN_ON][own].mean(dtype=np.float64) for run in runs.values()
    ]
    return float(np.mean(means))
