"""Which effect of K an experiment can detect before it is run, and what a goal needs.

Variances are those of the difference between K and K = 1, the mean over all K. They come from the
results of the same experiment as far as it has repeated draws or seeds, and else from the settings
`analysis.assumed_sd_*`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd

from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.power import LIMIT, Variances, detectable_effect, needed
from ergokedro.analysis.random_effects import SampleSize
from ergokedro.design.mixture import Design
from ergokedro.parameters import AnalysisParameters, Parameters

UNITS = ("draws", "seeds", "documents")
POWER = 0.8
# As many draws or seeds as the settings of the controls allow.
_MOST_REPEATS = 99
_MOST_SEEDS = 10
ASSUMED, MEASURED = "assumed", "measured"
_OF_DRAWS = "in that of draws"


@dataclass(frozen=True)
class Prospect:
    """The effect of K that a design can detect, and the numbers that a goal needs.

    Attributes
    ----------
    series : 'balanced' where sets of components are run, else 'smallest'.
    size : draws, seeds and test documents of the design.
    contrasts : size of the family, all K but 1.
    variances : of the difference between K and K = 1.
    origin : of the variance of each of :data:`UNITS`, in words.
    goal : effect that shall be detected, nats per token.
    confidence : of the family.
    """

    series: str
    size: SampleSize
    contrasts: int
    variances: Variances
    origin: Mapping[str, str]
    goal: float
    confidence: float

    @property
    def alpha(self) -> float:
        """Level of a single test: Bonferroni's. Holm's procedure detects no less."""
        return (1 - self.confidence) / self.contrasts

    @property
    def detectable(self) -> float:
        """Smallest true effect, nats per token, that is detected with a probability of 80 %."""
        return detectable_effect(self.variances, self.size, POWER, self.alpha)

    def deviation(self, unit: str) -> float:
        """Standard deviation of the difference over one unit alone, nats per token."""
        return float(np.sqrt(getattr(self.variances, unit)))

    def needed(self, unit: str) -> int | None:
        """How many of a unit the goal needs, the others as they are; None if no number is enough.

        Documents are per component. With a single draw its chance is left out, and with a single
        run that of the seed.
        """
        return needed(self.goal, self.variances, self.size, unit, POWER, self.alpha)

    def cheapest(self, cost: Callable[[int, int], int | None]) -> SampleSize | None:
        """The numbers of least cost that detect the goal, all chance of draws included.

        Two draws at least. Documents stay as they are if possible; else there are twice as many, or
        four times, and so on. None if no numbers suffice.

        Parameters
        ----------
        cost : of a number of draws and seeds; None where it is not possible.
        """
        size = self.size
        while size.documents <= LIMIT:
            costs: dict[SampleSize, int] = {}
            for seeds in range(1, _MOST_SEEDS + 1):
                at = replace(self, size=size._replace(seeds=seeds))
                draws = at.needed("draws")
                price = None if draws is None else cost(draws, seeds)
                if draws is not None and price is not None:
                    costs[at.size._replace(draws=draws)] = price
            if costs:
                return min(costs, key=lambda size: costs[size])
            size = size._replace(documents=2 * size.documents)
        return None


def make_prospect(
    params: Parameters, design: Design, windows: pd.DataFrame, results: pd.DataFrame | None
) -> Prospect | None:
    """What the experiment of `params` can tell; None without K = 1 and another K.

    Parameters
    ----------
    windows : evaluation windows of the design.
    results : of the same experiment, if it has any.
    """
    balanced = bool(params.controls.get("subsets", False))
    if 1 not in params.runs or len(params.runs) < 2:
        return None
    components = design.components if balanced else design.components[:1]
    test = windows[(windows.split == "test") & windows.component.isin(components)]
    documents = test.groupby("component").document.nunique()
    draws, seeds = (int(params.controls.get(unit, 1)) for unit in ("draws", "seeds"))
    series = "balanced" if balanced else "smallest"
    variances, origin = stored_variances(results, series, params.analysis)
    return Prospect(
        series,
        SampleSize(draws, seeds, round(float(documents.mean())), len(components)),
        len(params.runs) - 1,
        variances,
        origin,
        params.analysis.detect,
        params.analysis.confidence,
    )


def stored_variances(
    results: pd.DataFrame | None, series: str, params: AnalysisParameters, split: str = "test"
) -> tuple[Variances, dict[str, str]]:
    """Variances of the difference between K and K = 1, and where those of each unit are from.

    Returns
    -------
    Measured variances are means over K; negative ones count as zero.
    """
    assumed = Variances(
        draws=params.assumed_sd_draws**2,
        seeds=params.assumed_sd_seeds**2,
        documents=params.assumed_sd_documents**2,
    )
    origin = dict.fromkeys(UNITS, ASSUMED)
    if results is None:
        return assumed, origin
    rows = results[(results.series == series) & (results.split == split)]
    differences = rows[rows.quantity == "difference_to_k1"]
    if differences.empty or differences.standard_error.isna().any():
        return assumed, origin
    measured = _measured(rows, differences)
    repeated = differences.iloc[0]
    origin["documents"] = MEASURED
    if repeated.draws > 1:
        origin |= {"draws": MEASURED, "seeds": MEASURED if repeated.seeds > 1 else _OF_DRAWS}
        return measured, origin
    if repeated.seeds > 1:
        origin["seeds"] = MEASURED
        return replace(measured, draws=assumed.draws), origin
    return replace(measured, draws=assumed.draws, seeds=assumed.seeds), origin


def _measured(rows: pd.DataFrame, differences: pd.DataFrame) -> Variances:
    """From the rows `variance_*`, which hold contributions to the squared standard error."""
    by_k = differences.set_index("k")
    means = {}
    for name in (field.name for field in fields(Variances)):
        contributions = rows[rows.quantity == f"variance_{name}"].set_index("k")
        at = by_k.loc[contributions.index]
        levels = np.ones(len(contributions))
        for unit in name.split("_"):
            levels = levels * at[unit].to_numpy()
        if "seeds" in name:  # every draw has seeds of its own
            levels = levels * at["draws"].to_numpy()
        means[name] = (
            float((contributions.value.to_numpy() * levels).mean()) if len(contributions) else 0.0
        )
    return Variances(**{name: max(value, 0.0) for name, value in means.items()})


def count_runs(params: Parameters, draws: int, seeds: int) -> int | None:
    """How many runs the experiment has with these numbers; None if more than 99 of one kind."""
    if max(draws, seeds) > _MOST_REPEATS:
        return None
    settings = {**params.controls, "draws": draws, "seeds": seeds}
    return len(plan_experiment(params.runs, params.n_components, settings))
