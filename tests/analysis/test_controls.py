"""The control series, against sums written out."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.controls import control_table
from ergokedro.analysis.nll import NLLArrays
from ergokedro.design.runs import Run, plan_runs
from ergokedro.parameters import ControlParameters
from synthetic_results import NAMES, PARAMS, make_design, make_windows

CONTROLS = ControlParameters(subsets=True, growing=True, pseudo=True, seeds=3)


@pytest.fixture(scope="module")
def windows() -> pd.DataFrame:
    return make_windows()


@pytest.fixture(scope="module")
def nll(windows: pd.DataFrame) -> dict[Run, NLLArrays]:
    arrays = {}
    for number, run in enumerate(plan_runs([1, 2, 3, 4, 5], 5, CONTROLS)):
        rng = np.random.default_rng(number)
        each = {
            str(split): rng.exponential(size=(len(here), 99)).astype(np.float32)
            for split, here in windows.groupby("split")
        }
        arrays[run] = NLLArrays(each, {"seed": run.seed_offset})
    return arrays


def series(table: pd.DataFrame, name: str, quantity: str = "xe") -> pd.Series:
    here = table[(table.split == "test") & (table.series == name) & (table.quantity == quantity)]
    return here.set_index("k").value


def mean_on(arrays: NLLArrays, windows: pd.DataFrame, name: str) -> float:
    here = windows[windows.split == "test"].component.to_numpy() == name
    return float(arrays.nll["test"][here].mean(dtype=np.float64))


def test_control_series(nll: dict[Run, NLLArrays], windows: pd.DataFrame) -> None:
    table = control_table(nll, windows, make_design(), CONTROLS, PARAMS)
    by_name = {run.name: arrays for run, arrays in nll.items()}
    plain = {run.components: a for run, a in nll.items() if run.divisor == len(run.components)}
    plain |= {run.components: a for run, a in nll.items() if run.in_chain}
    balanced = series(table, "balanced")
    for k in range(1, 6):
        expected = np.mean(
            [
                np.mean([mean_on(plain[subset], windows, NAMES[place - 1]) for place in subset])
                for subset in combinations(range(1, 6), k)
            ]
        )
        assert balanced[k] == pytest.approx(expected, rel=1e-6)
    differences = series(table, "balanced", "difference_to_k1")
    assert differences[4] == pytest.approx(balanced[4] - balanced[1], abs=1e-9)

    growing = series(table, "growing")
    assert growing[2] == pytest.approx(mean_on(by_name["growing.k2"], windows, NAMES[0]))
    assert growing[5] == pytest.approx(mean_on(by_name["k5"], windows, NAMES[0]))
    pseudo = series(table, "pseudo")
    assert pseudo[1] == pytest.approx(mean_on(by_name["subsets.c5"], windows, NAMES[4]))
    assert pseudo[3] == pytest.approx(mean_on(by_name["pseudo.k3"], windows, NAMES[4]))

    seeds = table[(table.series == "seeds") & (table.k == 2) & (table.split == "test")]
    xe = seeds[seeds.quantity == "xe"]
    assert xe.run.to_list() == ["k2", "seeds.k2_seed1", "seeds.k2_seed2"]
    assert xe.seed.to_list() == [0, 1, 2]
    spread = seeds[seeds.quantity == "seed_spread"].value.item()
    assert spread == pytest.approx(xe.value.std(ddof=1))


def test_without_controls_there_is_nothing(
    nll: dict[Run, NLLArrays], windows: pd.DataFrame
) -> None:
    chain_only = {run: arrays for run, arrays in nll.items() if run.in_chain}
    assert control_table(chain_only, windows, make_design(), ControlParameters(), PARAMS).empty
