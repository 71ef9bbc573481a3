"""The chain with several seeds: how much two runs differ by chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ergokedro.analysis.controls.control import Control, Setting
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.runs import Run, chain, find_run


class Seeds(Control):
    """The chain once for each seed."""

    name = "seeds"
    series = "seeds"
    title = "chain, each seed"
    settings = (
        Setting(
            "seeds",
            int,
            1,
            "Number of seeds of the chain: `seed`, `seed` + 1, ...",
            {"ge": 1, "le": 99},
        ),
    )

    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """The chain for each further seed."""
        return [
            replace(chain(k), label=f"k{k}_seed{offset}", seed_offset=offset, control=self.name)
            for offset in range(1, settings["seeds"])
            for k in ks
        ]

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """XE for each seed, and seed_spread, its standard deviation over `seeds` seeds."""
        repeated = [run for run in experiment.runs if run.control == self.name]
        for split in experiment.splits:
            arrays = experiment.arrays(split)
            for k in sorted({run.k for run in repeated}):
                first = find_run(experiment.runs, chain(k))
                runs = [run for run in (first, *repeated) if run and run.k == k]
                selection = experiment.selection(split, runs[0], "chain")
                values = []
                for run in runs:
                    xe = selection.mean(arrays[run], experiment.params)
                    values.append(xe.value)
                    tags = {**experiment.tags(run), "series": self.series}
                    yield selection.row("xe", xe, **tags)
                tags = {**experiment.tags(runs[0]), "series": self.series, "seeds": len(values)}
                yield selection.row("seed_spread", float(np.std(values, ddof=1)), **tags)


CONTROL = Seeds()
