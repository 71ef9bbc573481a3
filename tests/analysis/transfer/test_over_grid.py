"""The law over a grid of D: known parameters are found, and an unseen D is predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.transfer.over_grid import laws_over_grid, runs_of_grid
from transfer_runs import ALPHA, COMPONENTS, E, equal_shares, law_xe

TOTALS = (1e5, 2e5, 4e5, 8e5)
CHAIN = [(0,), (0, 1), (0, 1, 2)]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Chains of three components at four totals, by the known law; other rows are beside it."""
    rows = []
    for total in TOTALS:
        tokens = equal_shares(CHAIN, (total,), 3)
        for k, (own, xe) in enumerate(zip(tokens, law_xe(tokens), strict=True), start=1):
            for c, name in enumerate(COMPONENTS[:3]):
                trained = own[c] > 0
                value = xe[c] if trained else 9.0
                rows.append((f"D{total}", "tiny", total, f"k{k}", name, trained, total / k, value))
    columns = ["experiment", "preset", "total_tokens", "run", "component", "trained", "tokens"]
    frame = pd.DataFrame(rows, columns=[*columns, "value"])
    return frame.assign(split="test", quantity="xe", series="component")


def test_runs_are_the_chains_of_all_totals(table: pd.DataFrame) -> None:
    runs = runs_of_grid(table)
    assert runs.components == COMPONENTS[:3]
    assert sorted(set(runs.totals.round().astype(int))) == list(TOTALS)
    assert np.nanmax(runs.xe) < 9


def test_the_law_is_found_and_predicts_an_unseen_total(table: pd.DataFrame) -> None:
    (law,) = laws_over_grid(table)
    assert law.fit.estimate("E", "a").interval.value == pytest.approx(E[0], abs=0.02)
    assert law.fit.estimate("alpha", "a").interval.value == pytest.approx(ALPHA[0], abs=0.02)
    errors = law.errors.set_index("law")
    assert errors.relative_error["transfer"] < 0.002
    assert errors.error["transfer"] < errors.error["constant"] / 10


def test_two_totals_have_no_law(table: pd.DataFrame) -> None:
    assert laws_over_grid(table[table.total_tokens < 3e5]) == []
