"""The control series, against sums written out."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.controls import CONTROLS, control_rows, plan_experiment, read_settings
from ergokedro.analysis.controls.subsets import balanced_nll
from ergokedro.analysis.series import results_table
from ergokedro.design.nll import NLLArrays
from ergokedro.design.runs import Run
from ergokedro.errors import ErgokedroError
from how_to import run_page
from synthetic_results import NAMES, make_experiment, make_meta

SETTINGS: dict[str, Any] = {
    "subsets": True, "growing": True, "pseudo": True, "draws": 2, "seeds": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def nll(windows: pd.DataFrame) -> dict[Run, NLLArrays]:
    arrays = {}
    for number, run in enumerate(plan_experiment([1, 2, 3, 4, 5], 5, SETTINGS)):
        rng = np.random.default_rng(number)
        values = {
            str(split): rng.exponential(size=(len(here), 99)).astype(np.float32)
            for split, here in windows.groupby("split")
        }
        arrays[run] = NLLArrays(values, make_meta(run, seed=run.seed_offset))
    return arrays


@pytest.fixture
def own_control(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The control of docs/howto/extend-control.md, registered while the test runs."""
    monkeypatch.setattr(CONTROLS, "_entries", dict(CONTROLS))
    return run_page("extend-control.md")


def series(table: pd.DataFrame, name: str, quantity: str = "xe") -> pd.Series:
    here = table[(table.split == "test") & (table.series == name) & (table.quantity == quantity)]
    return here.set_index("k").value


def mean_on(arrays: NLLArrays, windows: pd.DataFrame, name: str) -> float:
    here = windows[windows.split == "test"].component.to_numpy() == name
    return float(arrays.nll["test"][here].mean(dtype=np.float64))


def mean_of(nll: dict[Run, NLLArrays], run: Run, windows: pd.DataFrame, name: str) -> float:
    """Mean on a component over all draws and seeds of a run."""
    repeats = [arrays for other, arrays in nll.items() if other.base == run.base]
    return float(np.mean([mean_on(arrays, windows, name) for arrays in repeats]))


def test_control_series(nll: dict[Run, NLLArrays], windows: pd.DataFrame) -> None:
    experiment = make_experiment(nll, windows, **SETTINGS)
    table = results_table(control_rows(experiment))
    balanced = series(table, "balanced")
    for k in range(1, 6):
        expected = np.mean(
            [
                np.mean([mean_of(nll, Run("", s, k), windows, NAMES[i - 1]) for i in s])
                for s in combinations(range(1, 6), k)
            ]
        )
        assert balanced[k] == pytest.approx(expected, rel=1e-6)
    differences = series(table, "balanced", "difference_to_k1")
    assert differences[4] == pytest.approx(balanced[4] - balanced[1], abs=1e-9)
    by_component = table[
        (table.quantity == "component_difference_to_k1") & (table.split == "test") & (table.k == 4)
    ].set_index("component")
    assert by_component.value.mean() == pytest.approx(differences[4], abs=1e-9)
    sets = [s for s in combinations(range(1, 6), 4) if 2 in s]
    expected = np.mean([mean_of(nll, Run("", s, 4), windows, NAMES[1]) for s in sets])
    expected -= mean_of(nll, Run("", (2,), 1), windows, NAMES[1])
    assert by_component.value[NAMES[1]] == pytest.approx(expected, abs=1e-6)
    in_set = table[
        (table.series == "set") & (table.split == "test") & (table.component == NAMES[1])
    ]
    run = Run("c2_c4", (2, 4), 2, control="subsets")
    value = in_set[in_set.run == run.name].value.item()
    assert value == pytest.approx(mean_on(nll[run], windows, NAMES[1]), abs=1e-6)
    assert set(in_set.tokens) == {experiment.design.total_tokens // k for k in (1, 2, 3, 4, 5)}
    row = table[(table.series == "balanced") & (table.quantity == "difference_to_k1")].iloc[0]
    assert (row.draws, row.seeds) == (2, 3)

    growing = series(table, "growing")
    by_name = {run.name: run for run in nll}
    assert growing[2] == pytest.approx(mean_of(nll, by_name["growing.k2"], windows, NAMES[0]))
    assert growing[5] == pytest.approx(mean_of(nll, by_name["k5"], windows, NAMES[0]))
    pseudo = series(table, "pseudo")
    assert pseudo[1] == pytest.approx(mean_of(nll, by_name["subsets.c5"], windows, NAMES[4]))
    assert pseudo[3] == pytest.approx(mean_of(nll, by_name["pseudo.k3"], windows, NAMES[4]))

    seeds = table[(table.series == "seeds") & (table.k == 2) & (table.split == "test")]
    xe = seeds[seeds.quantity == "xe"]
    assert xe.run.to_list() == ["k2", "seeds.k2_seed1", "seeds.k2_seed2"]
    assert xe.seed.to_list() == [0, 1, 2]
    spread = seeds[seeds.quantity == "seed_spread"]
    assert spread.value.item() == pytest.approx(xe.value.std(ddof=1))
    assert (spread.seeds.item(), set(xe.seeds)) == (3, {1})

    draws = table[(table.series == "draws") & (table.k == 2) & (table.split == "test")]
    xe = draws[draws.quantity == "xe"]
    assert xe.run.to_list() == ["k2", "draws.k2_draw1"]
    assert xe.seed.to_list() == [0, 0]
    spread = draws[draws.quantity == "draw_spread"].value.item()
    assert spread == pytest.approx(xe.value.std(ddof=1))


def balanced_by_hand(runs: dict[tuple[int, ...], NLLArrays], windows: pd.DataFrame) -> float:
    """Mean over components of the mean over the sets that hold it."""
    means = [
        np.mean([mean_on(arrays, windows, name) for s, arrays in runs.items() if position in s])
        for position, name in enumerate(NAMES, start=1)
    ]
    return float(np.mean(means))


@pytest.mark.parametrize(("draw", "seed"), [(0, 0), (1, 2)])
@pytest.mark.parametrize("subsets", [True, "cyclic"])
def test_balanced_designs(
    nll: dict[Run, NLLArrays], windows: pd.DataFrame, subsets: bool | str, draw: int, seed: int
) -> None:
    settings: dict[str, Any] = {"subsets": subsets, "draws": 2, "seeds": 3}
    planned = {run.recipe for run in plan_experiment([1, 2, 3, 4, 5], 5, settings)}
    made = {run: arrays for run, arrays in nll.items() if run.recipe in planned}
    by_k = balanced_nll(make_experiment(made, windows, **settings), "test", draw, seed)
    assert sorted(by_k) == [1, 2, 3, 4, 5]
    for k, values in by_k.items():
        sets = {
            run.components: arrays
            for run, arrays in made.items()
            if (run.draw, run.seed_offset, run.k) == (draw, seed, k)
        }
        assert len(sets) == (comb(5, k) if subsets is True else 5 if k < 5 else 1)
        expected = balanced_by_hand(sets, windows)
        assert values.mean() == pytest.approx(expected, rel=1e-6)


def test_sets_that_are_not_balanced_are_left_out(
    nll: dict[Run, NLLArrays], windows: pd.DataFrame
) -> None:
    lost = Run("", (2, 4), 2)
    made = {run: arrays for run, arrays in nll.items() if run.recipe != lost}
    by_k = balanced_nll(make_experiment(made, windows, **SETTINGS), "test")
    assert sorted(by_k) == [1, 3, 4, 5]
    chain_only = {run: arrays for run, arrays in nll.items() if run.in_chain}
    assert not balanced_nll(make_experiment(chain_only, windows), "test")


def test_without_controls_there_is_nothing(
    nll: dict[Run, NLLArrays], windows: pd.DataFrame
) -> None:
    chain_only = {run: arrays for run, arrays in nll.items() if run.in_chain}
    assert not list(control_rows(make_experiment(chain_only, windows)))
    on = make_experiment(chain_only, windows, **SETTINGS)
    assert {row.series for row in control_rows(on)} <= {"growing", "pseudo"}  # K = 1 at D


def test_the_control_of_the_how_to_page_makes_its_runs_and_rows(
    windows: pd.DataFrame, own_control: dict[str, Any]
) -> None:
    settings = read_settings({"longer": 3})
    assert settings["longer"] == 3
    runs = plan_experiment([1, 2], 5, {"longer": 3})
    assert [(run.name, run.repeats) for run in runs] == [("k1", 1), ("k2", 1), ("longer.k2", 3)]
    assert [run.name for run in plan_experiment([1, 2], 5, {})] == ["k1", "k2"]
    with pytest.raises(ErgokedroError, match=r"controls\.longer = 0"):
        read_settings({"longer": 0})

    level = {"k1": 3.0, "k2": 2.5, "longer.k2": 2.25}
    shape = (len(windows) // 2, 99)
    nll = {
        run: NLLArrays(
            {split: np.full(shape, level[run.name]) for split in ("validation", "test")},
            make_meta(run),
        )
        for run in runs
    }
    table = results_table(control_rows(make_experiment(nll, windows, longer=3)))
    test = table[table.split == "test"].set_index("quantity")
    assert test.value.to_dict() == pytest.approx({"xe": 2.25, "difference_to_chain": -0.25})
    assert set(test.run) == {"longer.k2"}
    assert set(test.tokens) == {150_000}


def test_two_controls_of_one_name_are_refused(own_control: dict[str, Any]) -> None:
    with pytest.raises(ErgokedroError, match="two entries are registered as 'longer'"):
        CONTROLS.register("longer", own_control["Longer"]())
