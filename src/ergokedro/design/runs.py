"""The runs of an experiment: which components each trains on, how much of each, and its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Run:
    """One model to train.

    Attributes
    ----------
    label : its name inside the control, or in the chain.
    components : positions in the design's order, from 1.
    divisor : each component gives D / divisor tokens.
    pseudo : the single component is split into `divisor` parts, which stand for components.
    repeats : the run makes this many times the epochs.
    seed_offset : added to the seed.
    control : name of the control that asks for it; empty for the chain K = 1, 2, ...
    """

    label: str
    components: tuple[int, ...]
    divisor: int
    pseudo: bool = False
    repeats: int = 1
    seed_offset: int = 0
    control: str = ""

    @property
    def name(self) -> str:
        """Namespace in the graph, name of its files, and name of its MLflow run."""
        return f"{self.control}.{self.label}" if self.control else self.label

    @property
    def k(self) -> int:
        """Number of components, pseudo-components included."""
        return self.divisor if self.pseudo else len(self.components)

    @property
    def in_chain(self) -> bool:
        """Whether it is one of the runs K = 1, 2, ... that every experiment has."""
        return not self.control

    @property
    def recipe(self) -> Run:
        """The run without its names: two runs with equal recipes train the same model."""
        return replace(self, label="", control="")


def run_name(k: int) -> str:
    """Name of the chain's run on the first `k` components."""
    return f"k{k}"


def chain(k: int) -> Run:
    """The run on the first `k` components, each giving D / k."""
    return Run(run_name(k), tuple(range(1, k + 1)), k)


def specialist(position: int, divisor: int, repeats: int = 1) -> Run:
    """The recipe of one component alone with D / `divisor` tokens."""
    return Run("", (position,), divisor, repeats=repeats)


def plan_runs(ks: Iterable[int], controls: Iterable[Run] = ()) -> list[Run]:
    """The chain for the values `ks`, then the runs of `controls`; no recipe occurs twice."""
    distinct: dict[Run, Run] = {}
    for run in [*map(chain, ks), *controls]:
        distinct.setdefault(run.recipe, run)
    return list(distinct.values())


def find_run(runs: Iterable[Run], wanted: Run) -> Run | None:
    """The run with the recipe of `wanted`, whatever its name."""
    return next((run for run in runs if run.recipe == wanted.recipe), None)
