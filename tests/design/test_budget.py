"""The budget: at most 1 % lost, as many K exact as possible, fair shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ergokedro.design.budget import choose_total, is_adjusted, water_fill


@given(windows=st.integers(1, 20_000), n=st.integers(1, 16))
def test_the_total_loses_at_most_a_hundredth_and_suits_as_many_k_as_possible(
    windows: int, n: int
) -> None:
    def divided(total: int) -> int:
        return sum(total % k == 0 for k in range(1, n + 1))

    total = choose_total(windows, n)
    assert 0.99 * windows <= total <= windows
    candidates = range(-(-99 * windows // 100), windows + 1)
    best = max(divided(candidate) for candidate in candidates)
    assert divided(total) == best
    assert total == max(candidate for candidate in candidates if divided(candidate) == best)


@pytest.mark.parametrize(
    ("windows", "n", "total"),
    [(7525, 5, 7500), (6000, 5, 6000), (6000, 11, 5940), (17, 3, 17), (27_719, 11, 27_600)],
)
def test_totals(windows: int, n: int, total: int) -> None:
    assert choose_total(windows, n) == total


@pytest.mark.parametrize(
    ("total", "capacities", "expected"),
    [
        (12, [5, 9, 9], [4, 4, 4]),
        (12, [2, 9, 9], [2, 5, 5]),
        (13, [2, 9, 9], [2, 5, 6]),
        (12, [2, 3, 9], [2, 3, 7]),
        (14, [9, 2, 3], [9, 2, 3]),
        (0, [1, 1], [0, 0]),
    ],
)
def test_water_filling(total: int, capacities: list[int], expected: list[int]) -> None:
    shares = water_fill(total, capacities)
    assert sorted(shares) == sorted(expected)
    assert sum(shares) == total


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.floats(0, 1))
def test_water_filling_is_fair(capacities: list[int], fraction: float) -> None:
    total = int(fraction * sum(capacities))
    shares = water_fill(total, capacities)
    assert sum(shares) == total
    short = [s for s, c in zip(shares, capacities, strict=True) if s < c]
    assert all(s <= c for s, c in zip(shares, capacities, strict=True))
    # Who is not short of text gives as much as anyone, to one unit.
    assert not short or max(shares) - min(short) <= 1


@given(parties=st.integers(1, 12), total=st.integers(0, 500), capacity=st.integers(0, 500))
def test_only_short_components_adjust_shares(parties: int, total: int, capacity: int) -> None:
    large = water_fill(total, [total] * parties)
    assert not any(is_adjusted(share, parties, total) for share in large)
    mixed = water_fill(total, [capacity] + [total] * (parties - 1)) if parties > 1 else large
    adjusted = [is_adjusted(share, parties, total) for share in mixed]
    assert any(adjusted) == (parties > 1 and capacity < total // parties)
