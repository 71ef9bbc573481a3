"""The chain at fixed tokens for each component: the total grows with K."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ergokedro.analysis.contrasts import find_by_k, replicates_of
from ergokedro.analysis.controls.control import Control, Setting, series_rows
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.runs import Run


class Growing(Control):
    """Models of K components that each give the same number of tokens at every K."""

    name = "growing"
    series = "growing"
    title = "growing total: fixed tokens for each component"
    settings = (
        Setting(
            "growing",
            bool,
            False,
            "The chain at fixed tokens for each component, D / K_max: the total grows.",
        ),
    )

    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """The first K components at D / K_max each."""
        return [Run(f"k{k}", tuple(range(1, k + 1)), max(ks), control=self.name) for k in ks]

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """XE on the smallest component, by K."""
        ks = [run.k for run in experiment.chain]
        made = find_by_k(
            experiment, self.runs(ks, len(experiment.design.components), experiment.settings)
        )
        tokens = dict.fromkeys(made, experiment.design.total_tokens // max(ks))
        for split in experiment.splits:
            by_k = replicates_of(experiment, split, made)
            selection = experiment.selection(split, experiment.chain[0], "smallest")
            yield from series_rows(experiment, self.series, selection, by_k, tokens)


CONTROL = Growing()
