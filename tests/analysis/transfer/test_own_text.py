"""Own-text equivalents: the inverse of the curve inside its sizes, a bound outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.analysis.transfer.own_text import (
    OwnTextEquivalent,
    SpecialistCurve,
    own_text_equivalents,
)
from ergokedro.analysis.transfer.runs import MixtureRuns
from ergokedro.errors import ErgokedroError

SIZES = 1e5 * np.array([1.0, 2, 3, 4, 6, 12])
TOTAL = 1.2e6


def specialist_xe(tokens: np.ndarray, exponent: float = 0.35) -> np.ndarray:
    return np.asarray(2.2 + 1.3 * (tokens / 1e5) ** -exponent)


CURVE = SpecialistCurve("a", SIZES, specialist_xe(SIZES))


def mixtures(xe: list[float] | np.ndarray, replicates: np.ndarray | None = None) -> MixtureRuns:
    """Runs of half a, half b, with these XE on a."""
    tokens = np.full((len(xe), 2), TOTAL / 2)
    both = None if replicates is None else np.stack([replicates] * 2, axis=2)
    return MixtureRuns(("a", "b"), tokens, np.stack([xe] * 2, axis=1), replicates=both)


def one_equivalent(xe: float, curve: SpecialistCurve = CURVE) -> OwnTextEquivalent:
    (equivalent,) = own_text_equivalents(mixtures([xe]), curve)
    return equivalent


def test_a_specialist_is_worth_its_own_text() -> None:
    equivalents = own_text_equivalents(mixtures(CURVE.xe), CURVE)
    np.testing.assert_allclose([e.tokens.value for e in equivalents], SIZES, rtol=1e-12)
    np.testing.assert_allclose([e.share.value for e in equivalents], SIZES / TOTAL, rtol=1e-12)
    assert [e.run for e in equivalents] == list(range(6))
    assert {e.bound for e in equivalents} == {""}


@pytest.mark.parametrize(("exponent", "tolerance"), [(0.35, 0.005), (1.0, 0.04)])
def test_between_sizes_interpolation_is_close(exponent: float, tolerance: float) -> None:
    sizes = 1e5 * 2.0 ** np.arange(5)
    curve = SpecialistCurve("a", sizes, specialist_xe(sizes, exponent))
    tokens = np.geomspace(1e5, 1.6e6, 101)[1:-1]
    equivalents = own_text_equivalents(mixtures(specialist_xe(tokens, exponent)), curve)
    np.testing.assert_allclose([e.tokens.value for e in equivalents], tokens, rtol=tolerance)


def test_outside_the_sizes_there_is_only_a_bound() -> None:
    above, below = one_equivalent(CURVE.xe[-1] - 1e-6), one_equivalent(CURVE.xe[0] + 1e-6)
    assert (above.bound, above.tokens.value, above.share.value) == (">", SIZES[-1], 1.0)
    assert (below.bound, below.tokens.value) == ("<", SIZES[0])
    assert np.isnan(above.tokens.low)  # no replicates, no interval


def test_a_curve_that_rises_says_nothing() -> None:
    rising = one_equivalent(2.5, SpecialistCurve("a", SIZES[:3], np.array([2.4, 2.5, 2.6])))
    assert rising.bound == "?"
    assert np.isnan(rising.tokens.value)


def test_a_bump_of_noise_is_averaged_away() -> None:
    bumpy = CURVE.xe.copy()
    bumpy[2], bumpy[3] = 2.9, 3.0
    middle = one_equivalent(2.95, SpecialistCurve("a", SIZES, bumpy))
    assert middle.tokens.value == pytest.approx(np.sqrt(3e5 * 4e5))
    ends = one_equivalent(bumpy[1], SpecialistCurve("a", SIZES, bumpy))
    assert ends.tokens.value == pytest.approx(2e5)


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(st.floats(-0.02, 0.3), min_size=2, max_size=7),
    xe=st.lists(st.floats(1, 5), min_size=2, max_size=6),
    factor=st.floats(0.01, 100),
)
def test_a_better_mixture_is_worth_more_whatever_the_curve(
    steps: list[float], xe: list[float], factor: float
) -> None:
    sizes = 1e4 * 2.0 ** np.arange(len(steps))
    curve = SpecialistCurve("a", sizes, 4 - np.cumsum(steps))
    values = [e.tokens.value for e in own_text_equivalents(mixtures(sorted(xe)), curve)]
    known = np.array([value for value in values if not np.isnan(value)])
    assert (np.diff(known) <= 1e-6).all()
    assert ((known >= sizes[0] * (1 - 1e-9)) & (known <= sizes[-1] * (1 + 1e-9))).all()
    scaled = own_text_equivalents(mixtures(sorted(xe)), replace(curve, tokens=sizes * factor))
    np.testing.assert_allclose([e.tokens.value for e in scaled], np.multiply(values, factor))


def test_intervals_cover_the_truth() -> None:
    """Curve and mixture with independent errors of 0.01 nats: 95 % intervals."""
    rng = np.random.default_rng(0)
    true = 5e5
    hits = []
    for _ in range(50):
        curve = specialist_xe(SIZES) + 0.01 * rng.normal(size=6)
        xe = specialist_xe(np.array([true])) + 0.01 * rng.normal(size=1)
        replicates = np.array([*curve, *xe]) + 0.01 * rng.normal(size=(120, 7))
        runs = mixtures(xe, replicates[:, 6:])
        noisy = SpecialistCurve("a", SIZES, curve, replicates[:, :6])
        (interval,) = [e.tokens for e in own_text_equivalents(runs, noisy)]
        hits.append(interval.low <= true <= interval.high)
    assert 0.9 <= np.mean(hits) <= 0.99


def test_errors_that_mixture_and_curve_share_cancel() -> None:
    shared = 0.05 * np.random.default_rng(0).normal(size=(200, 1))
    curve = replace(CURVE, replicates=CURVE.xe + shared)
    xe = specialist_xe(np.array([5e5]))
    (paired,) = own_text_equivalents(mixtures(xe, xe + shared), curve)
    assert paired.tokens.standard_error < 1
    (alone,) = own_text_equivalents(mixtures(xe), curve)
    assert alone.tokens.standard_error > 1e4 or np.isinf(alone.tokens.high)


def test_an_interval_that_leaves_the_sizes_is_open() -> None:
    errors = np.linspace(-0.02, 0.02, 101)[:, None]
    edge = CURVE.xe[-1:] + 0.001
    (near,) = own_text_equivalents(mixtures(edge, edge + errors), CURVE)
    assert near.bound == ""
    assert 0.8 * SIZES[-1] < near.tokens.low < near.tokens.value < SIZES[-1]
    assert np.isinf(near.tokens.high)
    assert np.isinf(near.share.high)
    beyond = CURVE.xe[-1:] - 0.1
    (far,) = own_text_equivalents(mixtures(beyond, beyond + errors), CURVE)
    assert (far.bound, far.tokens.low, far.tokens.high) == (">", SIZES[-1], np.inf)
    worse = CURVE.xe[:1] + 0.1
    (low,) = own_text_equivalents(mixtures(worse, worse + errors), CURVE)
    assert (low.bound, low.tokens.low, low.tokens.high) == ("<", 0, SIZES[0])


def test_replicates_that_are_not_finite_give_no_interval() -> None:
    curve = replace(CURVE, replicates=np.full((5, 6), np.nan))
    (equivalent,) = own_text_equivalents(mixtures([CURVE.xe[2]]), curve)
    assert equivalent.tokens.value == pytest.approx(SIZES[2])
    assert np.isnan(equivalent.tokens.low)


def test_mistakes_are_told() -> None:
    with pytest.raises(ErgokedroError, match=r"two sizes or more"):
        SpecialistCurve("a", SIZES[:1], CURVE.xe[:1])
    with pytest.raises(ErgokedroError, match=r"two sizes or more"):
        SpecialistCurve("a", SIZES, CURVE.xe[:4])
    with pytest.raises(ErgokedroError, match=r"must be positive and ascend"):
        SpecialistCurve("a", SIZES[::-1], CURVE.xe)
    with pytest.raises(ErgokedroError, match=r"is not finite"):
        SpecialistCurve("a", SIZES, np.where(SIZES > 4e5, np.nan, CURVE.xe))
    with pytest.raises(ErgokedroError, match=r"component = 'z'"):
        own_text_equivalents(mixtures([2.5]), replace(CURVE, component="z"))
    with pytest.raises(ErgokedroError, match=r"has 7 replicates and the runs 5"):
        own_text_equivalents(
            mixtures([2.5], np.full((5, 1), 2.5)),
            replace(CURVE, replicates=np.tile(CURVE.xe, (7, 1))),
        )
