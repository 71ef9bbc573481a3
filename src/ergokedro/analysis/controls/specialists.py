"""Specialists: each component alone, which the exact decomposition of the cost of K needs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Literal

from ergokedro.analysis import specialists
from ergokedro.analysis.best_specialists import CONFOUNDED
from ergokedro.analysis.controls.control import Control, Setting
from ergokedro.analysis.decomposition import decomposition
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.runs import Run
from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)


class Specialists(Control):
    """Models of one component with D tokens, and with the D / K that every K gives it."""

    name = "specialists"
    # The decomposition compares them with the mixtures on the same draw. Seeds vary less than draws
    # and would multiply the largest group of runs; single components are sets, which they repeat.
    repeated_by = ("draws",)
    settings = (
        Setting(
            "specialists",
            bool,
            False,
            "Each component alone, at D and at D / K for every K: what the exact decomposition of "
            "the cost of K and the own-text equivalents need.",
        ),
        Setting(
            "specialist_form",
            Literal["best", "grid", "epochs", "steps"],
            "best",
            "best: one run for every component and size finds its number of epochs, by the XE of "
            "averaged weights on validation text. grid: one run for each number in "
            "`specialist_epochs`, of which that with the lowest validation XE counts. epochs: "
            "those of the chain, so that less text goes with fewer steps. steps: as many steps as "
            "at D, so that less text goes with more repetitions.",
        ),
        Setting(
            "specialist_epochs",
            str | float,
            "0.5+1+2",
            "Numbers of epochs that are tried with `specialist_form=grid`, as multiples of "
            "training.epochs, joined by '+'. With `specialist_form=best` the largest is the most.",
        ),
        Setting(
            "specialist_rates",
            str | float,
            "1",
            "Learning rates that are tried with `specialist_form=best` or `grid`, each with each "
            "number of epochs, as multiples of training.learning_rate, joined by '+', such as "
            "0.5+1+2.",
        ),
        Setting(
            "specialist_sizes",
            str | int,
            "",
            "Further sizes of specialists: divisors of D beside every K, joined by '+', such as "
            "'10+20' for D/10 and D/20. An own-text equivalent below the smallest size is a bound.",
        ),
    )

    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """Each component alone, at D and at D / K, with all its numbers of epochs and rates."""
        search = settings["specialist_form"] == "best"
        return [
            Run(
                _label(i, k, repeats, rate, search),
                (i,),
                k,
                repeats=repeats,
                rate=rate,
                search=search,
                control=self.name,
            )
            for k in sorted({1, *ks, *_sizes(settings["specialist_sizes"])})
            for i in range(1, max(ks) + 1)
            for repeats, rate in _protocols(settings, k)
        ]

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """The decomposition, and what the specialists show by themselves."""
        if confounded := CONFOUNDED[experiment.settings["specialist_form"]]:
            log.warning("Starvation is not about text alone: %s", confounded)
        yield from decomposition(experiment)
        yield from specialists.specialists(experiment)


def _label(position: int, divisor: int, repeats: float, rate: float, search: bool) -> str:
    """'c2_of3', or 'c2_of3_x2_r0p5' for twice the epochs at half the learning rate: a dot would
    divide a name in the graph. 'c2_of3_best' with the best number of epochs."""
    epochs = "_best" if search else f"_x{repeats:g}" if repeats != 1 else ""
    of_rate = f"_r{rate:g}" if rate != 1 else ""
    return f"c{position}_of{divisor}{epochs}{of_rate}".replace(".", "p")


def _protocols(settings: Mapping[str, Any], divisor: int) -> list[tuple[float, float]]:
    """Multiples of the chain's epochs and learning rate of the specialists at D / `divisor`."""
    form = settings["specialist_form"]
    if form in ("best", "grid"):
        epochs = _multiples(settings, "specialist_epochs", "training.epochs")
        rates = _multiples(settings, "specialist_rates", "training.learning_rate")
        return list(product(epochs if form == "grid" else epochs[-1:], rates))
    return [(divisor if form == "steps" else 1, 1)]


def _multiples(settings: Mapping[str, Any], name: str, of: str) -> list[float]:
    """Ascending positive numbers of a text such as '0.5+1+2'; whole ones are ints.

    Raises
    ------
    ErgokedroError
        If the text has another form.
    """
    value = settings[name]
    try:
        numbers = sorted({float(part) for part in str(value).split("+")})
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise ErgokedroError(
            f"controls.{name} = {value!r} is not understood; give positive multiples of {of} "
            "joined by '+', such as 0.5+1+2."
        )
    return [int(number) if number.is_integer() else number for number in numbers]


def _sizes(value: str | int) -> list[int]:
    """Divisors of a text such as '10+20'; none of an empty one."""
    if value == "":
        return []
    parts = str(value).split("+")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ErgokedroError(
            f"controls.specialist_sizes = {value!r} is not understood; give whole divisors of D "
            "joined by '+', such as 10+20."
        )
    return [int(part) for part in parts]


CONTROL = Specialists()
