"""What a design can tell before it is run: from assumed variances, and from stored ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from ergokedro.analysis.contrasts import chain_replicates, contrasts, differences
from ergokedro.analysis.controls import read_settings
from ergokedro.analysis.planning import count_runs, make_prospect, stored_variances
from ergokedro.analysis.power import Variances, detectable_effect, power_of
from ergokedro.analysis.random_effects import SampleSize
from ergokedro.analysis.series import results_table
from ergokedro.design.nll import NLLArrays
from ergokedro.design.runs import chain, repeat_run
from ergokedro.parameters import AnalysisParameters, Parameters
from synthetic_results import DOCUMENTS, make_design, make_experiment, make_meta, make_windows

WINDOWS = make_windows()
ANALYSIS = AnalysisParameters(
    detect=0.05, assumed_sd_draws=0.02, assumed_sd_seeds=0.01, assumed_sd_documents=0.1
)
ASSUMED = Variances(draws=0.02**2, seeds=0.01**2, documents=0.1**2)


def parameters(**controls: Any) -> Parameters:
    return Parameters(analysis=ANALYSIS, controls=read_settings(controls))


def test_a_design_detects_by_bonferroni_what_its_assumed_variances_say() -> None:
    prospect = make_prospect(parameters(draws=4, seeds=2), make_design(), WINDOWS, None)
    assert prospect is not None
    assert prospect.size == SampleSize(4, 2, DOCUMENTS, 1)
    assert (prospect.series, prospect.contrasts) == ("smallest", 4)
    assert prospect.variances == ASSUMED
    assert set(prospect.origin.values()) == {"assumed"}
    assert prospect.detectable == pytest.approx(
        detectable_effect(ASSUMED, prospect.size, 0.8, 0.05 / 4)
    )
    found = power_of(prospect.detectable, ASSUMED, prospect.size, 0.05 / 4)
    assert found == pytest.approx(0.8, abs=1e-3)
    assert prospect.deviation("seeds") == pytest.approx(0.01)


def test_sets_are_measured_on_all_components() -> None:
    prospect = make_prospect(parameters(subsets="cyclic"), make_design(), WINDOWS, None)
    assert prospect is not None
    assert prospect.series == "balanced"
    assert prospect.size == SampleSize(1, 1, DOCUMENTS, 5)
    assert prospect.contrasts == 4
    some = parameters(subsets="cyclic").model_copy(update={"k": "1+3+5"})
    prospect = make_prospect(some, make_design(), WINDOWS, None)
    assert prospect is not None
    assert prospect.contrasts == 2


def test_without_k_1_there_is_no_effect_of_k() -> None:
    params = parameters().model_copy(update={"k": "2-4"})
    assert make_prospect(params, make_design(), WINDOWS, None) is None


@pytest.mark.parametrize("documents", [1000, 2])
def test_the_cheapest_numbers_detect_the_goal_and_fewer_draws_do_not(documents: int) -> None:
    prospect = make_prospect(parameters(), make_design(), WINDOWS, None)
    assert prospect is not None
    prospect = replace(prospect, size=prospect.size._replace(documents=documents))
    found = prospect.cheapest(lambda draws, seeds: draws * seeds)
    assert found is not None
    assert detectable_effect(ASSUMED, found, 0.8, 0.05 / 4) <= 0.05
    fewer = found._replace(draws=found.draws - 1)
    assert found.draws == 2 or detectable_effect(ASSUMED, fewer, 0.8, 0.05 / 4) > 0.05
    assert (found.documents == documents) == (documents == 1000)
    assert prospect.cheapest(lambda draws, seeds: None) is None


def test_runs_are_counted_by_the_plan_of_the_experiment() -> None:
    assert count_runs(parameters(), 1, 1) == 5
    assert count_runs(parameters(), 3, 2) == 30
    assert count_runs(parameters(), 100, 1) is None


def stored(draws: int, seeds: int) -> tuple[Any, Any]:
    """Results of K = 1 and 2 with chance of draws, seeds and documents, and their difference."""
    rng = np.random.default_rng(0)
    runs = {}
    for draw, seed, k in product(range(draws), range(seeds), (1, 2)):
        run = repeat_run(chain(k), draw, draws, seed)
        nll = {}
        for split, here in WINDOWS.groupby("split"):
            documents = rng.normal(scale=0.02, size=here.document.nunique()).repeat(4)
            values = documents + rng.normal(scale=0.03) if k == 2 else np.zeros(len(here))
            nll[str(split)] = 2.0 + np.repeat(values[:, None], 99, axis=1)
        runs[run] = NLLArrays(nll, make_meta(run))
    experiment = make_experiment(runs, WINDOWS, draws=draws, seeds=seeds)
    selection = experiment.selection("test", chain(1), "smallest")
    (difference,) = differences(
        experiment, selection, chain_replicates(experiment, "test")
    ).values()
    return results_table(contrasts(experiment)), difference


@pytest.mark.parametrize(
    ("draws", "seeds", "kept"),
    [(4, 3, ()), (4, 1, ()), (1, 3, ("draws",)), (1, 1, ("draws", "seeds"))],
)
def test_stored_variances_are_those_of_the_estimate(
    draws: int, seeds: int, kept: tuple[str, ...]
) -> None:
    """Where nothing was repeated, the assumed ones stay."""
    results, difference = stored(draws, seeds)
    found, origin = stored_variances(results, "smallest", ANALYSIS)
    expected = {**vars(Variances.of(difference)), **{n: getattr(ASSUMED, n) for n in kept}}
    assert vars(found) == pytest.approx(expected)
    assert origin["documents"] == "measured"
    assert (origin["draws"] == "measured") == (draws > 1)
    assert (origin["seeds"] == "measured") == (seeds > 1)


def test_results_of_another_series_are_not_used() -> None:
    results, _ = stored(2, 2)
    assert stored_variances(results, "balanced", ANALYSIS)[0] == ASSUMED
