"""Specialists: each component alone, which the exact decomposition of the cost of K needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ergokedro.analysis import specialists
from ergokedro.analysis.controls.control import Control, Setting
from ergokedro.analysis.decomposition import decomposition
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.runs import Run


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
            "the cost of K needs.",
        ),
        Setting(
            "match_steps",
            bool,
            False,
            "Specialists at D / K make K times the epochs, so that they take as many steps as the "
            "chain; otherwise they make the same epochs.",
        ),
    )

    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """Each component alone, at D and at D / K."""
        matched = settings["match_steps"]
        return [
            Run(f"c{i}_of{k}", (i,), k, repeats=k if matched else 1, control=self.name)
            for k in sorted({1, *ks})
            for i in range(1, max(ks) + 1)
            if k == 1 or i <= k
        ]

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """The decomposition, and what the specialists show by themselves."""
        yield from decomposition(experiment)
        yield from specialists.specialists(experiment)


CONTROL = Specialists()
