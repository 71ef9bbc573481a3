"""Which K to run, and the name that each run has in the graph, the catalog and MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ergokedro.parameters import ControlParameters


def run_name(k: int) -> str:
    """Name of the run on the first `k` components: its namespace, files and MLflow child."""
    return f"k{k}"


@dataclass(frozen=True)
class Run:
    """One model to train: which components, how much of each, and what differs from the chain.

    Attributes
    ----------
    name : namespace in the graph, folder of its files and MLflow child.
    components : places in the design's order, from 1.
    divisor : each component gives D / divisor tokens.
    pseudo : the single component is split into `divisor` parts, which take the components' places.
    repeats : the run makes so many times the epochs.
    seed_offset : added to the seed.
    """

    name: str
    components: tuple[int, ...]
    divisor: int
    pseudo: bool = False
    repeats: int = 1
    seed_offset: int = 0

    @property
    def k(self) -> int:
        """Number of components, pseudo-components among them."""
        return self.divisor if self.pseudo else len(self.components)

    @property
    def in_chain(self) -> bool:
        """Is it one of the runs that the experiment compares?"""
        return "." not in self.name


def chain(k: int) -> Run:
    """The run on the first `k` components, each giving D / k."""
    return Run(run_name(k), tuple(range(1, k + 1)), k)


def plan_runs(ks: list[int], n_components: int, controls: ControlParameters) -> list[Run]:
    """All runs that the settings ask for, the chain first; no two train on the same.

    Parameters
    ----------
    ks : values of K in the chain.
    n_components : components of the design.
    """
    runs = [chain(k) for k in ks]
    if controls.specialists:
        runs += _specialists(ks, controls.match_steps)
    if controls.subsets:
        runs += _subsets(n_components)
    if controls.growing:
        runs += growing_runs(ks)
    if controls.pseudo:
        runs += pseudo_runs(ks, n_components)
    runs += [
        replace(chain(k), name=f"seeds.k{k}_seed{offset}", seed_offset=offset)
        for offset in range(1, controls.seeds)
        for k in ks
    ]
    # A run that would train on the same as an earlier one is not made twice.
    distinct: dict[Run, Run] = {}
    for run in runs:
        distinct.setdefault(replace(run, name=""), run)
    return list(distinct.values())


def _specialists(ks: list[int], match_steps: bool) -> list[Run]:
    """Each component alone, at D and at the D / K that every K gives it."""
    return [
        Run(f"specialists.c{place}_of{k}", (place,), k, repeats=k if match_steps else 1)
        for k in sorted({1, *ks})
        for place in range(1, max(ks) + 1)
        if k == 1 or place <= k
    ]


def growing_runs(ks: list[int]) -> list[Run]:
    """The chain at fixed tokens for each component: D / K_max."""
    return [Run(f"growing.k{k}", tuple(range(1, k + 1)), max(ks)) for k in ks]


def pseudo_runs(ks: list[int], n_components: int) -> list[Run]:
    """The largest component in K parts."""
    return [Run(f"pseudo.k{k}", (n_components,), k, pseudo=k > 1) for k in ks]


def _subsets(n_components: int) -> list[Run]:
    """Every subset of the components, at the same total."""
    places = range(1, n_components + 1)
    return [
        Run(f"subsets.{'_'.join(f'c{place}' for place in subset)}", subset, size)
        for size in places
        for subset in combinations(places, size)
    ]


def find_run(runs: Iterable[Run], wanted: Run) -> Run | None:
    """The run that trains on the same as `wanted`, whatever its name."""
    content = replace(wanted, name="")
    return next((run for run in runs if replace(run, name="") == content), None)
