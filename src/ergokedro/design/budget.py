"""How many windows an epoch has, and how components share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ergokedro.design.runs import Run, chain
from ergokedro.errors import ErgokedroError

if TYPE_CHECKING:
    from ergokedro.design.mixture import Design

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


def share_budget(design: Design, run: Run) -> dict[str, int]:
    """Windows per epoch of each component of a run; equal where their text allows it.

    Raises
    ------
    ErgokedroError
        If the design has fewer components, or they cannot give the tokens together.
    """
    if max(run.components) > len(design.components):
        raise ErgokedroError(
            f"k = {max(run.components)}: the design has {len(design.components)} components."
        )
    labels = [design.components[position - 1] for position in run.components]
    capacities = [design.available_windows[label] for label in labels]
    total = run_windows(design, run)
    try:
        return dict(zip(labels, water_fill(total, capacities), strict=True))
    except ValueError:
        raise ErgokedroError(
            f"mixture.total_tokens = {design.total_tokens:,}: {run.name} needs "
            f"{total * design.window_length:,} tokens, more than the "
            f"{sum(capacities) * design.window_length:,} of {', '.join(labels)} together; lower "
            f"it, or leave {run.name} out."
        ) from None


def run_windows(design: Design, run: Run) -> int:
    """Windows per epoch of the whole run."""
    return design.total_windows * run.k // run.divisor


def tabulate_budgets(design: Design) -> pd.DataFrame:
    """What every K of the design would train on, whether it is run or not.

    Returns
    -------
    One row per K and component: k, component, windows (per epoch), tokens, share (of D), adjusted
    (not an equal share, because a component is too small) and uneven (K does not divide the
    windows, so that shares differ by one). A K whose components cannot give D together has one
    row, '(too small for D)', with nothing.
    """
    total = design.total_windows
    rows: list[tuple[int, str, int, bool]] = []
    for k in range(1, len(design.components) + 1):
        try:
            shares = share_budget(design, chain(k))
        except ErgokedroError:
            rows.append((k, "(too small for D)", 0, True))
            continue
        rows.extend((k, label, n, is_adjusted(n, k, total)) for label, n in shares.items())
    table = pd.DataFrame(rows, columns=["k", "component", "windows", "adjusted"])
    table.insert(3, "tokens", table.windows * design.window_length)
    table.insert(4, "share", table.windows / total)
    return table.assign(uneven=total % table.k != 0)
