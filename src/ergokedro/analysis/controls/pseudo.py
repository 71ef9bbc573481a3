"""Pseudo-components: parts of the text of K = 1, so that K means nothing and its effect is zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ergokedro.analysis.contrasts import find_by_k, replicates_of
from ergokedro.analysis.controls.control import Control, Setting, series_rows
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.runs import Run


class Pseudo(Control):
    """D tokens of the largest component in K parts: the same text at every K."""

    name = "pseudo"
    series = "pseudo"
    title = "pseudo-components: parts of one component"
    repeated_by = ("draws", "seeds")
    settings = (
        Setting(
            "pseudo",
            bool,
            False,
            "D tokens of the largest component split at random into K parts: the cost of K must "
            "vanish.",
        ),
    )

    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """The largest component in K parts; undivided for K = 1."""
        return [Run(f"k{k}", (n_components,), k, pseudo=k > 1, control=self.name) for k in ks]

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """XE on the component that is split, by K."""
        components = experiment.design.components
        ks = [run.k for run in experiment.chain]
        made = find_by_k(experiment, self.runs(ks, len(components), experiment.settings))
        tokens = {k: experiment.design.total_tokens // k for k in made}
        for split in experiment.splits:
            by_k = replicates_of(experiment, split, made)
            selection = experiment.selection(
                split, experiment.chain[0], "component", components[-1]
            )
            yield from series_rows(experiment, self.series, selection, by_k, tokens)


CONTROL = Pseudo()
