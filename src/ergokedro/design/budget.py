"""How many windows an epoch has, and how components share them."""

from __future__ import annotations

import numpy as np

# The most of the budget that is given up so that more values of K divide it.
LARGEST_LOSS = 0.01


def choose_total(windows: int, n: int) -> int:
    """The windows of an epoch, the same for every K from 1 to `n`.

    Of the numbers that give up at most 1 % of `windows`, the one that as many K divide as
    possible, so that their components give exactly 1 / K; of several, the largest. For the other K
    the components' shares differ by one window.
    """
    smallest = int(np.ceil((1 - LARGEST_LOSS) * windows))
    candidates = np.arange(windows, smallest - 1, -1)
    divided = sum(candidates % k == 0 for k in range(1, n + 1))
    return int(candidates[np.argmax(divided)])


def water_fill(total: int, capacities: list[int]) -> list[int]:
    """Share `total` equally among parties of limited capacity.

    A party that is too small gives all it has, and the others share the rest equally; units that
    do not divide go to the larger ones. The shares sum to `total` exactly.

    Raises
    ------
    ValueError
        If the capacities together are smaller than `total`.
    """
    if sum(capacities) < total:
        raise ValueError("the capacities are too small")
    shares = [0] * len(capacities)
    rest = total
    order = sorted(range(len(capacities)), key=lambda i: (capacities[i], -i))
    for served, i in enumerate(order):
        shares[i] = min(capacities[i], rest // (len(capacities) - served))
        rest -= shares[i]
    return shares


def is_adjusted(share: int, parties: int, total: int) -> bool:
    """Whether a share differs from an equal one by a whole unit or more: by more than rounding."""
    return abs(share * parties - total) >= parties
