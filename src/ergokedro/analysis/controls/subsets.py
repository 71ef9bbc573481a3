"""Every subset of the components, so that each component weighs the same at every K."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from ergokedro.analysis.controls.control import Control, Setting, series_rows
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.design.runs import Run
from ergokedro.errors import ErgokedroError

_MOST_COMPONENTS = 16


class Subsets(Control):
    """The mean over all subsets of size K: which categories are in it does not change with K."""

    name = "subsets"
    series = "balanced"
    title = "balanced: all subsets of size K"
    settings = (
        Setting(
            "subsets",
            bool,
            False,
            "Every subset of the chosen components, so that each weighs the same at every K.",
        ),
    )

    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """Every subset of the components, at the same total.

        Raises
        ------
        ErgokedroError
            If there are more than 65,535.
        """
        if n_components > _MOST_COMPONENTS:
            raise ErgokedroError(
                f"controls.subsets = true asks for {2**n_components - 1:,} runs, one for each "
                f"subset of {n_components} components. Lower mixture.top_n."
            )
        positions = range(1, n_components + 1)
        return [
            Run("_".join(f"c{i}" for i in subset), subset, size, control=self.name)
            for size in positions
            for subset in combinations(positions, size)
        ]

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """XE averaged over the subsets, by K."""
        total = experiment.design.total_tokens
        for split in experiment.splits:
            by_k = balanced_nll(experiment, split)
            selection = experiment.selection(split, experiment.chain[0], "all")
            tokens = {k: total // k for k in by_k}
            yield from series_rows(experiment, self.series, selection, by_k, tokens)


def balanced_nll(experiment: Experiment, split: str) -> dict[int, np.ndarray]:
    """K -> NLL of every window, averaged over the subsets of size K that hold its component.

    Only those K of which every subset was made; nothing if there are fewer than two.
    """
    design, windows = experiment.design, experiment.windows_of(split)
    n = len(design.components)
    positions = windows.component.map({c: i for i, c in enumerate(design.components, 1)}).to_numpy()
    plain = {
        run.components: array
        for run, array in experiment.arrays(split).items()
        if run.recipe == Run("", run.components, len(run.components))
    }
    by_k = {}
    for k in range(1, n + 1):
        subsets = {s: array for s, array in plain.items() if len(s) == k}
        if len(subsets) < comb(n, k):
            continue
        total = np.zeros(next(iter(subsets.values())).shape)
        for subset, array in subsets.items():
            seen = np.isin(positions, subset)
            total[seen] += array[seen]
        by_k[k] = total / comb(n - 1, k - 1)
    return by_k if len(by_k) > 1 else {}


CONTROL = Subsets()
