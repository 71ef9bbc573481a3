"""Draws of a component's text: where they begin, what a share is, what they have in common."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
from hypothesis import assume, given
from hypothesis import strategies as st

from ergokedro.design.component_text import (
    ComponentText,
    common_tokens,
    count_tokens,
    document_pieces,
)

some_documents = st.lists(st.integers(1, 60), min_size=1, max_size=20)


def make_text(sizes: list[int], length: int, within: bool) -> ComponentText:
    """Documents of these sizes, whose first token is token 1,000 of the store."""
    lengths = np.array(sizes)
    return ComponentText(1000 + np.cumsum(lengths) - lengths, lengths, length, within)


@given(
    sizes=some_documents,
    length=st.integers(1, 25),
    draws=st.integers(1, 6),
    shares=st.lists(st.floats(0.01, 1), min_size=1, max_size=4),
    within=st.booleans(),
)
def test_draws_are_disjoint_where_the_text_allows_it_and_nested(
    sizes: list[int], length: int, draws: int, shares: list[float], within: bool
) -> None:
    text = make_text(sizes, length, within)
    assume(text.windows)
    windows = sorted({max(1, int(share * text.windows)) for share in shares})
    starts = text.draw_starts(draws, windows[-1])
    assert starts[0] == 0
    assert len(starts) == draws
    tokens = {}
    for n in windows:
        for draw, start in enumerate(starts):
            spans = text.spans(start, n)
            assert 1 <= len(spans) <= 2
            tokens[n, draw] = {token for span in spans for token in range(*span)}
            assert count_tokens(spans) == len(tokens[n, draw])
            assert min(tokens[n, draw]) >= 1000
            assert max(tokens[n, draw]) < 1000 + sum(sizes)
            # Exactly the windows that were asked for.
            documents = pa.table({"offset": text.offsets, "length": text.lengths})
            pieces = document_pieces(documents, spans)[1]
            assert pieces.sum() == len(tokens[n, draw])
            found = (pieces // length).sum() if within else len(tokens[n, draw]) / length
            assert found == n
        for one, other in combinations(range(draws), 2):
            common = tokens[n, one] & tokens[n, other]
            both = text.spans(starts[one], n), text.spans(starts[other], n)
            assert common_tokens(*both) == len(common)
            assert not (common and draws * n <= text.windows)
    for small, large in pairwise(windows):
        assert all(tokens[small, draw] <= tokens[large, draw] for draw in range(draws))


@given(size=st.integers(20, 300), draws=st.integers(2, 7), share=st.floats(0.1, 1))
def test_draws_of_short_texts_have_as_little_in_common_as_can_be(
    size: int, draws: int, share: float
) -> None:
    windows = max(1, int(share * size))
    assume(draws * windows > size)
    text = make_text([size], 1, False)
    counts = np.zeros(1000 + size, dtype=int)
    for start in text.draw_starts(draws, windows):
        for first, stop in text.spans(start, windows):
            counts[first:stop] += 1
    # Pairs of draws have the fewest tokens in common if all tokens are in equally many draws. The
    # beginnings are rounded to tokens, so that a few may be in one draw more or less.
    inside = counts[1000:]
    low, high = np.floor(draws * windows / size), np.ceil(draws * windows / size)
    assert ((inside < low) | (inside > high)).sum() <= draws
    assert inside.sum() == draws * windows


@given(sizes=st.lists(st.integers(20, 60), min_size=10, max_size=30), draws=st.integers(1, 4))
def test_draws_begin_with_documents_where_there_is_room(sizes: list[int], draws: int) -> None:
    text = make_text(sizes, 10, False)
    share = 7
    assume(draws * (share * 10 + 60) <= sum(sizes))
    starts = text.draw_starts(draws, share)
    assert {1000 + start for start in starts} <= set(text.offsets.tolist())
    # Further draws leave the earlier ones as they are.
    assert starts == text.draw_starts(draws + 1, share)[:draws] or (
        (draws + 1) * (share * 10 + 60) > sum(sizes)
    )


def test_within_documents_a_share_ends_with_its_last_window() -> None:
    text = make_text([25, 4, 38], 10, True)
    assert text.windows == 5
    # A document whose windows are all used is whole; a part of one has windows alone.
    assert text.spans(0, 1) == ((1000, 1010),)
    assert text.spans(0, 2) == ((1000, 1025),)
    assert text.spans(0, 4) == ((1000, 1049),)
    assert text.spans(3, 3) == ((1039, 1067), (1000, 1010))
