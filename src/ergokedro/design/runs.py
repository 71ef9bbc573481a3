"""The runs of an experiment: which components each trains on, how much of each, and its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

# Seeds of a draw are below those of the next: controls.seeds is at most 99.
_SEEDS_OF_A_DRAW = 100


@dataclass(frozen=True)
class Run:
    """One model to train.

    Attributes
    ----------
    label : its name inside the control, or in the chain.
    components : positions in the design's order, from 1.
    divisor : each component gives D / divisor tokens.
    pseudo : the D tokens of the single component are split into `divisor` parts, which stand for
        components.
    repeats : its epochs as a multiple of the chain's, rounded to whole epochs, at least one.
    seed_offset : number of the seed among those of its draw, from 0.
    control : name of the control that asks for it; empty for the chain K = 1, 2, ...
    draw : number of the sample of every component's training documents.
    draws : how many such samples are made; 1 in draw 0, whose text does not depend on it.
    rate : its learning rate as a multiple of the chain's.
    search : the run finds its best number of epochs itself; `repeats` is then the largest.
    """

    label: str
    components: tuple[int, ...]
    divisor: int
    pseudo: bool = False
    repeats: float = 1
    seed_offset: int = 0
    control: str = ""
    draw: int = 0
    draws: int = 1
    rate: float = 1
    search: bool = False

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

    @property
    def added_seed(self) -> int:
        """What is added to the setting `seed`. Every draw has seeds of its own, so that the
        variance between draws holds that of seeds, and few of either are enough."""
        return self.draw * _SEEDS_OF_A_DRAW + self.seed_offset

    @property
    def base(self) -> Run:
        """The recipe in draw 0 with the first seed: equal in all runs that repeat one run."""
        return replace(self.recipe, draw=0, draws=1, seed_offset=0)


def run_name(k: int) -> str:
    """Name of the chain's run on the first `k` components."""
    return f"k{k}"


def chain(k: int) -> Run:
    """The run on the first `k` components, each giving D / k."""
    return Run(run_name(k), tuple(range(1, k + 1)), k)


def repeat_run(run: Run, draw: int, draws: int, seed: int) -> Run:
    """`run` on draw `draw` of `draws`, with `seed` added to its seed, under a name with both.

    Repeats of the chain get names such as draws.k3_draw1, seeds.k3_seed1, draws.k3_draw1_seed1;
    those of a control's run stay in its namespace, as in subsets.c1_c3_draw1.
    """
    suffixes = [f"_{axis}{n}" for axis, n in (("draw", draw), ("seed", seed)) if n]
    return replace(
        run,
        label="".join([run.label, *suffixes]),
        control=run.control or ("draws" if draw else "seeds" if seed else ""),
        draw=draw,
        draws=draws if draw else 1,
        seed_offset=run.seed_offset + seed,
    )


def plan_runs(ks: Iterable[int], controls: Iterable[Run] = ()) -> list[Run]:
    """The chain for the values `ks`, then the runs of `controls`; no recipe occurs twice."""
    distinct: dict[Run, Run] = {}
    for run in [*map(chain, ks), *controls]:
        distinct.setdefault(run.recipe, run)
    return list(distinct.values())


def find_run(runs: Iterable[Run], wanted: Run) -> Run | None:
    """The run with the recipe of `wanted`, whatever its name."""
    return next((run for run in runs if run.recipe == wanted.recipe), None)
