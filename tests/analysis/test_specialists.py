"""Specialists: how far components can be told apart, and XE by tokens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.series import results_table
from ergokedro.analysis.specialists import specialists
from ergokedro.design.nll import NLLArrays
from ergokedro.design.runs import Run
from synthetic_results import NAMES, make_experiment, make_meta

# Specialist j reads the text of component c so much worse than c's own, nats.
WORSE = np.array([[0.0, 0.5, 0.2], [0.3, 0.0, 0.4], [0.1, 0.6, 0.0]])
STARVED = {1: 0.0, 2: 0.02, 3: 0.03}


def make_specialists(windows: pd.DataFrame, **controls: str) -> dict[Run, NLLArrays]:
    """Of three components: 2.0 nats, the losses above, and noise that all runs share."""
    place = windows.component.map({name: i for i, name in enumerate(NAMES)}).clip(upper=2)
    noise = np.random.default_rng(0).normal(scale=0.5, size=(len(windows), 99))
    arrays = {}
    for run in plan_experiment(
        [1, 2, 3], 3, {"specialists": True, "specialist_form": "epochs", **controls}
    ):
        own = run.components[0] - 1
        worse = WORSE[place, own] + STARVED[run.divisor]
        values = (2.0 + worse[:, None] + noise).astype(np.float32)
        nll = {split: values[windows.split == split] for split in ("validation", "test")}
        arrays[run] = NLLArrays(nll, make_meta(run, seed=7))
    return arrays


@pytest.mark.parametrize("form", ["grid", "epochs", "steps"])
def test_numbers_are_those_put_in(windows: pd.DataFrame, form: str) -> None:
    arrays = make_specialists(windows, specialist_form=form)
    experiment = make_experiment(arrays, windows, specialists=True, specialist_form=form)
    table = results_table(specialists(experiment))
    assert set(table.seed) == {7}
    test = table[table.split == "test"]
    apart = test[test.quantity == "distinguishability"]
    names = apart[apart.trained].set_index("run").component
    found = apart.assign(specialist=apart.run.map(names)).pivot(
        index="component", columns="specialist", values="value"
    )
    assert list(found.columns) == list(found.index) == NAMES[:3]
    np.testing.assert_allclose(found, WORSE, atol=1e-6)
    # Paired by window: the noise that all runs share is no part of the interval.
    assert (apart.high - apart.low).max() < 1e-5
    by_tokens = test[test.quantity == "specialist_xe"].set_index(["component", "tokens"])
    assert len(by_tokens) == 3 * 3  # at D, D / 2, D / 3
    own = by_tokens.value.sort_index()
    for divisor, starved in STARVED.items():
        difference = own[NAMES[0], 300_000 // divisor] - own[NAMES[0], 300_000]
        assert difference == pytest.approx(starved, abs=1e-6)
    assert set(by_tokens.k) == {1}


def test_without_specialists_components_cannot_be_told_apart(windows: pd.DataFrame) -> None:
    chain = {run: a for run, a in make_specialists(windows).items() if run.in_chain}
    table = results_table(specialists(make_experiment(chain, windows)))
    assert set(table.quantity) == {"specialist_xe", "specialist_epochs", "specialist_rate"}
    assert set(table.run) == {"k1"}
