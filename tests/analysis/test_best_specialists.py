"""S*: chosen on validation text, the same in every draw, reported on test text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.best_specialists import MOST, best_specialists
from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.decomposition import TERMS, decomposition
from ergokedro.analysis.series import results_table
from ergokedro.analysis.specialists import specialists
from ergokedro.analysis.transfer.measured import measured_runs
from ergokedro.design.nll import NLLArrays
from ergokedro.design.runs import Run
from synthetic_results import NAMES, make_experiment, make_meta

# Nats above 2 of a specialist at D / divisor with so many times the epochs: by divisor.
VALIDATION = {1: {0.5: 0.30, 1: 0.10, 2: 0.20, 4: 0.40}, 2: {0.5: 0.9, 1: 0.7, 2: 0.6, 4: 0.5}}
# On test text another one is the lowest: a choice on test text would find it.
TEST = {1: {0.5: 0.30, 1: 0.15, 2: 0.12, 4: 0.40}, 2: {0.5: 0.9, 1: 0.7, 2: 0.4, 4: 0.55}}
MIXTURE = 0.8
# Nats that a multiple of the learning rate adds at D / divisor; test text would choose others.
RATES = {
    "validation": {(1, 0.5): 0.02, (1, 1): 0.0, (1, 2): 0.05,
                   (2, 0.5): -0.15, (2, 1): 0.0, (2, 2): 0.05},
    "test": {(1, 0.5): -0.05, (1, 1): 0.0, (1, 2): 0.05,
             (2, 0.5): 0.04, (2, 1): 0.0, (2, 2): -0.05},
}  # fmt: skip


GRID: dict[str, Any] = {
    "specialists": True,
    "specialist_form": "grid",
    "specialist_epochs": "0.5+1+2+4",
}


def make_arrays(
    windows: pd.DataFrame, spread: float = 0.0, **settings: Any
) -> dict[Run, NLLArrays]:
    """The plan of two components; draw d adds `spread` times d to every model."""
    arrays = {}
    for run in plan_experiment([1, 2], 2, {**GRID, **settings}):
        nll = {}
        for split, levels in (("validation", VALIDATION), ("test", TEST)):
            here = windows[windows.split == split]
            own = [NAMES[position - 1] for position in run.components]
            level = levels[run.divisor][run.repeats] if run.k == 1 else MIXTURE
            level = level + spread * run.draw + RATES[split][run.divisor, run.rate]
            rows = np.where(here.component.isin(own), 2.0 + level, 5.0)
            nll[split] = np.repeat(rows[:, None], 99, axis=1).astype(np.float32)
        arrays[run] = NLLArrays(nll, make_meta(run))
    return arrays


def test_the_lowest_on_validation_text_is_chosen(windows: pd.DataFrame) -> None:
    experiment = make_experiment(make_arrays(windows), windows, **GRID)
    best = best_specialists(experiment)
    assert {key: one.epochs for key, one in best.items()} == {
        (1, 1): 1, (1, 2): 4, (2, 1): 1, (2, 2): 4,
    }  # fmt: skip
    assert best[1, 1].note == ""
    assert best[1, 2].note == "the most epochs that were tried"
    table = results_table(specialists(experiment))
    test = table[(table.split == "test") & (table.component == NAMES[1])]
    xe = test[test.quantity == "specialist_xe"].set_index("tokens")
    assert xe.value[300_000] == pytest.approx(2.15)
    assert xe.value[150_000] == pytest.approx(2.55)
    assert xe.note[150_000] == "the most epochs that were tried"
    epochs = test[test.quantity == "specialist_epochs"].set_index("tokens").value
    assert epochs.to_dict() == {300_000: 1, 150_000: 4}


def test_epochs_and_rate_are_chosen_together(windows: pd.DataFrame) -> None:
    settings: dict[str, Any] = {**GRID, "specialist_epochs": "1+2", "specialist_rates": "0.5+1+2"}
    experiment = make_experiment(make_arrays(windows, **settings), windows, **settings)
    best = best_specialists(experiment)
    assert [(s.epochs, s.rate) for s in (best[2, 1], best[2, 2])] == [(1, 1), (2, 0.5)]
    table = results_table(specialists(experiment))
    test = table[(table.split == "test") & (table.component == NAMES[1])]
    rates = test[test.quantity == "specialist_rate"].set_index("tokens")
    assert rates.value.to_dict() == {300_000: 1, 150_000: 0.5}
    smallest = "the smallest learning rate that was tried"
    assert rates.note.to_dict() == {300_000: "", 150_000: smallest}
    assert rates.run[150_000] == "specialists.c2_of2_x2_r0p5"
    xe = test[test.quantity == "specialist_xe"].set_index("tokens")
    assert xe.value[150_000] == pytest.approx(2 + TEST[2][2] + RATES["test"][2, 0.5])
    assert xe.note[150_000] == f"the most epochs that were tried; {smallest}"
    kept = [run for run in measured_runs(experiment, "test").runs if run.k == 1]
    assert {(r.components[0], r.divisor): (r.repeats, r.rate) for r in kept} == {
        key: (one.epochs, one.rate) for key, one in best.items()
    }
    assert len(kept) == len(best)


@pytest.mark.parametrize("form", ["epochs", "steps"])
def test_other_forms_have_the_rate_of_the_chain(windows: pd.DataFrame, form: str) -> None:
    settings: dict[str, Any] = {**GRID, "specialist_form": form, "specialist_rates": "0.5"}
    arrays = make_arrays(windows, **settings)
    assert {run.rate for run in arrays} == {1}


@pytest.mark.parametrize(
    ("form", "starvation", "note"),
    [("grid", 0.40, ""), ("epochs", 0.55, "fewer steps"), ("steps", 0.25, "more repetitions")],
)
def test_starvation_is_of_the_form_that_was_asked_for(
    windows: pd.DataFrame, form: str, starvation: float, note: str
) -> None:
    settings: dict[str, Any] = {**GRID, "specialist_form": form}
    experiment = make_experiment(make_arrays(windows, **settings), windows, **settings)
    table = results_table(decomposition(experiment))
    here = table[(table.split == "test") & (table.series == "chain") & (table.position == 0)]
    rows = here.set_index("quantity")
    assert rows.value.starvation == pytest.approx(starvation, abs=1e-6)
    assert rows.value.cost == pytest.approx(rows.value[list(TERMS)].sum(), abs=1e-12)
    assert note in rows.note.starvation
    assert bool(note) == bool(rows.note.starvation)


def test_one_run_finds_its_number_of_epochs(windows: pd.DataFrame) -> None:
    """The runs say how many; the largest of the setting is the most."""
    settings: dict[str, Any] = {
        **GRID,
        "specialist_form": "best",
        "specialist_epochs": "1+2",
        "draws": 2,
    }
    arrays = make_arrays(windows, **settings)
    found = {
        run: 2.0 if run.divisor == 2 else 0.75 + 0.5 * run.draw for run in arrays if run.search
    }
    experiment = replace(make_experiment(arrays, windows, **settings), best_epochs=found)
    best = best_specialists(experiment)
    assert {key: (s.epochs, s.rate, s.note) for key, s in best.items()} == {
        (1, 1): (1, 1, ""), (2, 1): (1, 1, ""),
        (1, 2): (2, 1, MOST), (2, 2): (2, 1, MOST),
    }  # fmt: skip
    table = results_table([*decomposition(experiment), *specialists(experiment)])
    rows = table[(table.split == "test") & (table.component == NAMES[1])].set_index("quantity")
    assert rows.run[["specialist_xe"]].tolist() == [
        "specialists.c2_of1_best", "specialists.c2_of2_best",
    ]  # fmt: skip
    assert set(rows.draws[["specialist_xe"]]) == {2}
    # K = 1 of the chain has the text of the first component's specialist; the second has none.
    less = table[(table.quantity == "specialist_less_k1") & (table.split == "test")]
    assert less.component.tolist() == [NAMES[0]]
    assert less.value.item() == pytest.approx(TEST[1][2] - TEST[1][1], abs=1e-6)
    terms = table[(table.series == "chain") & (table.position == 0)].groupby(["split", "quantity"])
    values = terms.value.first().unstack()
    np.testing.assert_allclose(values[list(TERMS)].sum(axis=1), values.cost, atol=1e-12)
    kept = [run for run in measured_runs(experiment, "test").runs if run.k == 1]
    assert {run.search for run in kept} == {True}  # the law has no other runs of one component
    assert len(kept) == 8


def test_draws_share_the_number_of_epochs_and_are_averaged(windows: pd.DataFrame) -> None:
    arrays = make_arrays(windows, spread=0.1, draws=3)
    experiment = make_experiment(arrays, windows, **GRID, draws=3)
    best = best_specialists(experiment)[2, 2]
    assert sorted(best.runs) == [0, 1, 2]
    assert {run.repeats for run in best.runs.values()} == {4}
    table = results_table([*decomposition(experiment), *specialists(experiment)])
    test = table[(table.split == "test") & (table.position == 0)].set_index("quantity")
    xe = test.loc["specialist_xe"]
    assert xe.value.max() == pytest.approx(2.55 + 0.1)  # the mean of 0, 0.1, 0.2
    assert set(xe.draws) == {3}
    # What all models of a draw share cancels in the terms.
    cost = test[test.series == "chain"].loc["cost"]
    assert (cost.value, cost.draws) == (pytest.approx(MIXTURE - 0.15, abs=1e-6), 3)
    assert cost.standard_error == pytest.approx(0, abs=1e-6)


def test_epochs_that_lack_a_draw_are_not_chosen(windows: pd.DataFrame) -> None:
    arrays = make_arrays(windows, draws=2)
    lacking = {run: a for run, a in arrays.items() if not (run.repeats == 4 and run.draw == 1)}
    best = best_specialists(make_experiment(lacking, windows, **GRID))
    assert (best[1, 2].epochs, best[1, 2].rate) == (2, 1)
    other_seed = {replace(run, seed_offset=1): a for run, a in arrays.items()}
    assert not best_specialists(make_experiment(other_seed, windows))
