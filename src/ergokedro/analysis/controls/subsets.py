"""Sets of components, so that each component weighs the same at every K."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from ergokedro.analysis.contrasts import Replicates, differences
from ergokedro.analysis.controls.control import Control, Setting, series_rows
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.analysis.text_units import bits_per_byte
from ergokedro.design.runs import Run
from ergokedro.errors import ErgokedroError

# All sets of more components are more runs than anyone can make.
_MOST_COMPONENTS = 16


class Subsets(Control):
    """The mean over sets of size K, in which every component is equally often.

    Which categories are averaged does not change with K, as it does in the chain.
    """

    name = "subsets"
    series = "balanced"
    title = "balanced over sets of size K"
    repeated_by = ("draws", "seeds")
    settings = (
        Setting(
            "subsets",
            bool | Literal["cyclic"],
            False,
            "Sets of the chosen components, so that each weighs the same at every K. true: all "
            "2^n - 1 sets of n components; cyclic: n(n - 1) + 1 sets of consecutive components, "
            "the last followed by the first. Of these, the sizes that the setting k has.",
        ),
    )

    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """The sets of components of the sizes `ks`, at the same total.

        Raises
        ------
        ErgokedroError
            If all sets of more than 16 components are asked for, which are more than 65,535.
        """
        cyclic = settings["subsets"] == "cyclic"
        if n_components > _MOST_COMPONENTS and not cyclic:
            raise ErgokedroError(
                f"controls.subsets = true asks for {2**n_components - 1:,} runs, one for each "
                f"set of {n_components} components. Set controls.subsets=cyclic, which asks for "
                f"{n_components * (n_components - 1) + 1:,}, or lower mixture.top_n."
            )
        sets = (cyclic_sets if cyclic else all_sets)(n_components)
        return [
            Run("_".join(f"c{i}" for i in members), members, len(members), control=self.name)
            for members in sets
            if len(members) in ks
        ]

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """XE averaged over the sets, by K, in nats per token and in bits per byte; and, for every
        component, K less K = 1: the mean over the sets of size K that hold it, less its own set."""
        total = experiment.design.total_tokens
        for split in experiment.splits:
            by_k = balanced_replicates(experiment, split)
            selection = experiment.selection(split, experiment.chain[0], "all")
            tokens = {k: total // k for k in by_k}
            yield from series_rows(experiment, self.series, selection, by_k, tokens)
            for k, by_repeat in by_k.items():
                row = bits_per_byte(experiment, selection, by_repeat)
                row = replace(row, run=self.series, series=self.series, trained=True)
                yield replace(row, k=k, tokens=tokens[k])
            for component in experiment.design.components:
                own = experiment.selection(split, experiment.chain[0], "component", component)
                for k, estimate in differences(experiment, own, by_k).items():
                    row = own.row("component_difference_to_k1", estimate, run=self.series, k=k)
                    yield replace(row, series=self.series, trained=True, tokens=tokens[k])
            yield from _each_set(experiment, split)


def _each_set(experiment: Experiment, split: str) -> Iterator[ResultRow]:
    """XE of every run of a set, in every draw and with every seed, on each of its components."""
    in_chain = set(experiment.chain)
    for run, nll in experiment.arrays(split).items():
        is_set = run.base == Run("", run.components, len(run.components))
        for label in experiment.labels(run) if is_set and run not in in_chain else ():
            selection = experiment.selection(split, run, "component", label)
            row = selection.row(
                "xe", selection.mean(nll, experiment.params), **experiment.tags(run)
            )
            yield replace(row, series="set")


def all_sets(n: int) -> list[tuple[int, ...]]:
    """Every set of 1..n that is not empty, by size: 2^n - 1."""
    positions = range(1, n + 1)
    return [members for size in positions for members in combinations(positions, size)]


def cyclic_sets(n: int) -> list[tuple[int, ...]]:
    """The sets of consecutive numbers of 1..n, n followed by 1, by size: n(n - 1) + 1.

    Every number is in `size` sets of each size below n, and in the one set of size n.
    """
    return [
        tuple(sorted((first + i) % n + 1 for i in range(size)))
        for size in range(1, n + 1)
        for first in range(n if size < n else 1)
    ]


def balanced_replicates(experiment: Experiment, split: str) -> Replicates:
    """:func:`balanced_nll` in every draw and with every seed."""
    repeats = sorted({(run.draw, run.seed_offset) for run in experiment.runs})
    by_k: dict[int, dict[tuple[int, int], np.ndarray]] = {}
    for key in repeats:
        for k, nll in balanced_nll(experiment, split, *key).items():
            by_k.setdefault(k, {})[key] = nll
    return by_k


def balanced_nll(
    experiment: Experiment, split: str, draw: int = 0, seed_offset: int = 0
) -> dict[int, np.ndarray]:
    """K -> NLL of every window, averaged over the sets of size K that hold its component.

    float64 (windows of the split, W - 1), nats. Only those K at which the sets that were run with
    this draw and seed hold every component equally often; nothing if there are fewer than two.
    """
    design, windows = experiment.design, experiment.windows_of(split)
    n = len(design.components)
    positions = windows.component.map({c: i for i, c in enumerate(design.components, 1)}).to_numpy()
    sets = {
        run.components: array
        for run, array in experiment.arrays(split).items()
        if run.base == Run("", run.components, len(run.components))
        and (run.draw, run.seed_offset) == (draw, seed_offset)
    }
    by_k = {}
    for k in range(1, n + 1):
        members = [components for components in sets if len(components) == k]
        if not is_balanced(members, n):
            continue
        total = np.zeros(sets[members[0]].shape)
        for components in members:
            held = np.isin(positions, components)
            total[held] += sets[components][held]
        by_k[k] = total / (len(members) * k / n)  # the sets that hold a component
    return by_k if len(by_k) > 1 else {}


def is_balanced(sets: list[tuple[int, ...]], n: int) -> bool:
    """Whether 1..n are all in equally many of the sets, and in at least one."""
    counts = np.bincount([i for members in sets for i in members], minlength=n + 1)[1:]
    return bool(counts[0] > 0 and (counts == counts[0]).all())


CONTROL = Subsets()
