"""Repeats of the experiment: what two runs differ by that differ in nothing but chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from ergokedro.analysis.controls.control import Control
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.runs import Run


class Replication(Control):
    """The chain, and the controls that ask for it, once for each of several draws or seeds.

    Attributes
    ----------
    varied, fixed : attributes of :class:`~ergokedro.design.runs.Run`: what differs between the
        repeats that its rows compare, and what is 0 in them.
    spread : quantity of the standard deviation.
    """

    varied: ClassVar[str]
    fixed: ClassVar[str]
    spread: ClassVar[str]

    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """None of its own: `plan_experiment` repeats the others'."""
        return []

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """XE of the chain in every repeat, and its standard deviation over them."""
        for split in experiment.splits:
            arrays = experiment.arrays(split)
            for run in experiment.chain:
                runs = self._repeats(experiment, run)
                if len(runs) < 2:
                    continue
                selection = experiment.selection(split, run, "chain")
                intervals = [selection.mean(arrays[r], experiment.params) for r in runs]
                for repeat, interval in zip(runs, intervals, strict=True):
                    tags = {**experiment.tags(repeat), "series": self.series}
                    yield selection.row("xe", interval, **tags)
                spread = float(np.std([interval.value for interval in intervals], ddof=1))
                tags = {**experiment.tags(run), "series": self.series}
                yield selection.row(self.spread, spread, **tags, **self.count(runs))

    def count(self, runs: list[Run]) -> dict[str, int]:
        """Further columns of the row of the standard deviation."""
        return {}

    def _repeats(self, experiment: Experiment, run: Run) -> list[Run]:
        same = [r for r in experiment.runs if r.base == run.base and not getattr(r, self.fixed)]
        return sorted(same, key=lambda repeat: getattr(repeat, self.varied))
