"""Specialists: how far components can be told apart, and XE by tokens."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.nll import NLLArrays
from ergokedro.analysis.specialists import specialist_table
from ergokedro.design.runs import Run, plan_runs
from ergokedro.parameters import ControlParameters
from synthetic_results import NAMES, PARAMS, make_design, make_windows

# Specialist j reads the text of component c so much worse than c's own, nats.
WORSE = np.array([[0.0, 0.5, 0.2], [0.3, 0.0, 0.4], [0.1, 0.6, 0.0]])
STARVED = {1: 0.0, 2: 0.02, 3: 0.03}


def make_specialists(windows: pd.DataFrame, **controls: bool) -> dict[Run, NLLArrays]:
    """Of three components: 2.0 nats, the losses above, and noise that all runs share."""
    place = windows.component.map({name: i for i, name in enumerate(NAMES)}).clip(upper=2)
    noise = np.random.default_rng(0).normal(scale=0.5, size=(len(windows), 99))
    arrays = {}
    for run in plan_runs([1, 2, 3], 3, ControlParameters(specialists=True, **controls)):
        own = run.components[0] - 1
        worse = WORSE[place, own] + STARVED[run.divisor]
        values = (2.0 + worse[:, None] + noise).astype(np.float32)
        nll = {split: values[windows.split == split] for split in ("validation", "test")}
        arrays[run] = NLLArrays(nll, {"run": run.name, "k": run.k, "seed": 7})
    return arrays


@pytest.fixture(scope="module")
def windows() -> pd.DataFrame:
    return make_windows()


@pytest.mark.parametrize("match_steps", [False, True])
def test_numbers_are_those_put_in(windows: pd.DataFrame, match_steps: bool) -> None:
    arrays = make_specialists(windows, match_steps=match_steps)
    table = specialist_table(arrays, windows, make_design(), PARAMS)
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
    by_tokens = test[test.quantity == "specialist_xe"].set_index(["component", "k"])
    assert len(by_tokens) == 3 + 2 + 3  # at D, D / 2, D / 3
    own = by_tokens.value.sort_index()
    for k, starved in STARVED.items():
        assert own[NAMES[0], k] - own[NAMES[0], 1] == pytest.approx(starved, abs=1e-6)


def test_without_specialists_components_cannot_be_told_apart(windows: pd.DataFrame) -> None:
    chain = {run: a for run, a in make_specialists(windows).items() if run.in_chain}
    table = specialist_table(chain, windows, make_design(), PARAMS)
    assert set(table.quantity) == {"specialist_xe"}
    assert set(table.run) == {"k1"}
