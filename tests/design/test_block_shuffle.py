"""Windows in shuffled blocks: every window once, near ones together, components spread evenly."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ergokedro.design.training_windows import shuffle_blocks


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=5),
    block=st.integers(1, 40),
    group=st.integers(1, 6),
    seed=st.integers(0, 2**32),
)
def test_block_shuffle_keeps_every_window_and_stays_local(
    sizes: list[int], block: int, group: int, seed: int
) -> None:
    parts = [1_000_000 * i + np.arange(n) for i, n in enumerate(sizes)]
    assume(sum(sizes) > 0)
    order = shuffle_blocks(parts, np.random.default_rng(seed), block, group)
    np.testing.assert_array_equal(np.sort(order), np.concatenate(parts))
    # A stretch of a group's length touches a few groups' blocks, of which one a part may be short.
    of_block = order // 1_000_000 * 1000 + order % 1_000_000 // block
    for i in range(0, len(of_block), block * group):
        stretch = of_block[i : i + block * group]
        assert len(np.unique(stretch)) <= 3 * group + len(sizes)


def test_block_shuffle_spreads_components_evenly() -> None:
    sizes = [8000, 8000, 4000]
    parts = [i * 1_000_000 + np.arange(n) for i, n in enumerate(sizes)]
    order = shuffle_blocks(parts, np.random.default_rng(0), 100, 20)
    for stretch in np.split(order, 10):
        shares = np.bincount(stretch // 1_000_000, minlength=3) / len(stretch)
        np.testing.assert_allclose(shares, [0.4, 0.4, 0.2], atol=0.12)
