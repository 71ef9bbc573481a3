"""A window in the tokens of another tokenizer: the same characters, and no other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.design.references import reference_runs
from ergokedro.design.text_windows import text_window

START = 99
_CUTS = st.lists(st.integers(1, 4), min_size=12, max_size=30).map(np.cumsum)


def test_a_token_of_context_then_the_tokens_with_scored_characters() -> None:
    """'the cat reads' is '|the| cat| reads|' in own tokens and 'th|e c|at rea|ds' in others."""
    borders = np.array([3, 7, 13])
    window = text_window(borders, np.array([5, 6, 7, 8]), np.array([2, 5, 11, 13]), [], START)
    assert window.ids.tolist() == [5, 6, 7, 8]
    assert window.ends.tolist() == [2, 5, 11, 13]
    # 'e c' has two of its three characters in ' cat', and 'at rea' two of six.
    nll = np.array([3.0, 6.0, 2.0])
    np.testing.assert_allclose(window.spread(nll), [2 + 2, 4 + 2])


def test_what_is_read_before_a_text_is_not_scored() -> None:
    borders, ids, ends = np.array([3, 5]), np.array([7, 8]), np.array([3, 5])
    window = text_window(borders, ids, ends, [1, 2], START)
    assert window.ids.tolist() == [1, 2, 7, 8]
    np.testing.assert_allclose(window.spread(np.array([50.0, 60.0, 4.0])), [4])


def test_a_text_that_begins_with_a_scored_token_follows_the_start() -> None:
    borders = np.array([2, 4, 6])
    for before, first in (([], START), ([1], 1)):
        window = text_window(borders, np.array([7, 8]), np.array([4, 9]), before, START)
        assert window.ids.tolist() == [first, 7, 8]
        # Half of the first token, then two of the five characters of the second one.
        np.testing.assert_allclose(window.spread(np.array([4.0, 5.0])), [2, 2])


def test_tokens_without_characters_and_parts_of_one_character() -> None:
    """Byte tokens of one character all end where it ends; none of them is lost."""
    borders, ends = np.array([1, 2, 3]), np.array([1, 1, 2, 2, 2, 3, 3])
    window = text_window(borders, np.arange(7), ends, [], START)
    assert window.ids.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(window.spread(np.array([1.0, 2, 4, 8, 16])), [7, 24])


def test_a_text_without_other_tokens() -> None:
    window = text_window(np.array([2, 4]), np.array([], int), np.array([], int), [], START)
    np.testing.assert_array_equal(window.spread(np.zeros(5)), [0])


@settings(max_examples=200, deadline=None)
@given(
    own=_CUTS,
    other=_CUTS,
    first=st.integers(0, 6),
    length=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_every_character_gets_its_share(
    own: np.ndarray, other: np.ndarray, first: int, length: int, seed: int
) -> None:
    """Against a sum over characters."""
    other = other[: int(np.searchsorted(other, own[-1])) + 1]
    own = own[own <= other[-1]]
    borders = own[first : first + length]
    if len(borders) < 2:
        return
    ids = np.arange(len(other))
    each = np.random.default_rng(seed).random(len(other))  # NLL of each token
    window = text_window(borders, ids, other, [], START)
    found = window.spread(each[window.ids[1:]])
    sizes = np.diff(other, prepend=0)
    by_character = np.repeat(each / sizes, sizes)
    expected = [by_character[a:b].sum() for a, b in pairwise(borders)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    # No token is read that has no scored character, but one of context.
    assert window.ends[0] <= borders[0] < window.ends[1]
    assert window.ends[-2] < borders[-1] <= window.ends[-1]


def test_equal_tokens_give_equal_values() -> None:
    ends = np.array([3, 4, 9, 12, 13])
    window = text_window(ends[1:4], np.arange(5), ends, [], START)
    assert window.ids.tolist() == [1, 2, 3]
    np.testing.assert_allclose(window.spread(np.array([0.25, 4.5])), [0.25, 4.5])


def test_names_of_files() -> None:
    names = ["EleutherAI/pythia-70m", "a/b/k1", "/x/k1/", "hub/Qwen2.5-0.5B@main", "a/b/k1"]
    assert reference_runs(names) == {
        "references.pythia-70m": names[0],
        "references.k1": names[1],
        "references.k1__2": names[2],
        "references.Qwen2_5-0_5B_main": names[3],
    }
