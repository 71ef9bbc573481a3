"""Exchange rates: the law's and the direct ones agree, and are what is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ergokedro.analysis.transfer.exchange import direct_exchange
from ergokedro.analysis.transfer.fitting import fit_law
from ergokedro.analysis.transfer.own_text import SpecialistCurve, own_text_equivalents
from ergokedro.errors import ErgokedroError
from transfer_runs import COMPONENTS, TAU, exchange_matrix, known_runs, law_xe

SIZES = np.geomspace(2e4, 2.4e6, 15)


def specialist_curve(component: int, noise: float = 0.0) -> SpecialistCurve:
    tokens = np.zeros((len(SIZES), 3))
    tokens[:, component] = SIZES
    xe = law_xe(tokens)[:, component]
    errors = noise * np.random.default_rng(component).normal(size=(200, len(SIZES)))
    return SpecialistCurve(COMPONENTS[component], SIZES, xe, xe + errors if noise else None)


def test_direct_rates_are_those_of_the_law() -> None:
    runs = known_runs()
    for c in range(3):
        direct = direct_exchange(runs, own_text_equivalents(runs, specialist_curve(c)))
        assert len(direct) == 2 * 3  # two partners, three budgets
        for one in direct:
            expected = TAU[c, COMPONENTS.index(one.source)]
            assert one.component == COMPONENTS[c]
            assert one.tau.value == pytest.approx(expected, abs=0.01)


def test_bounds_of_equivalents_are_bounds_of_rates() -> None:
    runs = known_runs(budgets=(6e5,))
    curve = specialist_curve(0)
    short = SpecialistCurve("a", curve.tokens[:10], curve.xe[:10])
    direct = direct_exchange(runs, own_text_equivalents(runs, short))
    # With b, 4.5e5 tokens are more than the largest specialist has; with c, 3e5 are not.
    assert {one.source: one.bound for one in direct} == {"b": ">", "c": ""}
    assert direct[0].tau.value == pytest.approx((curve.tokens[9] - 3e5) / 3e5)


def test_a_component_without_runs_has_no_rates() -> None:
    runs = known_runs()
    unseen = replace(runs, xe=np.where(np.arange(3) == 2, np.nan, runs.xe))
    matrix = exchange_matrix(fit_law(unseen))
    np.testing.assert_allclose(matrix[:2], TAU[:2, :3], atol=1e-4)
    assert np.isnan(matrix[2, :2]).all()


def test_a_law_without_exchange_is_refused() -> None:
    fit = fit_law(known_runs(), "exponential")
    with pytest.raises(ErgokedroError, match=r"'exponential' has no parameter 'tau'"):
        exchange_matrix(fit)
