"""A uniform sample of bounded size: which documents are in it depends on the documents alone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ergokedro.data.content_hash import content_hash
from ergokedro.data.sampling import Sample, within_limit
from ergokedro.data.splits import SPLITS

DOCUMENT = st.tuples(
    st.sampled_from(["train", "test"]),
    st.sampled_from(["a", "b", None]),
    st.sampled_from(["", " ", "one", "one ", "one  two", "one two", "three words", "é", "x" * 90])
    | st.text(max_size=30),
)
Documents = list[tuple[str, str | None, str]]


def contents(sample: Sample) -> dict[str, list[tuple[str, str]]]:
    return {split: list(sample.documents(split)) for split in SPLITS}


def sampled(documents: Sequence[tuple[str, str | None, str]], limit: int) -> Sample:
    sample = Sample(limit)
    for document in documents:
        sample.add(*document)
    return sample


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(DOCUMENT, max_size=40), st.integers(1, 80), st.integers(1, 4))
def test_neither_order_nor_readers_matter(
    data: st.DataObject, documents: Documents, limit: int, readers: int
) -> None:
    expected = sampled(documents, limit)
    shuffled = data.draw(st.permutations(documents))
    assert contents(sampled(shuffled, limit)) == contents(expected)
    joined = Sample(limit)
    for reader in range(readers):
        part = joined.empty()
        for document in shuffled[reader::readers]:
            part.add(*document)
        joined.merge(part)
    assert contents(joined) == contents(expected)
    assert (joined.read, joined.left_out) == (expected.read, expected.left_out)


@settings(max_examples=60, deadline=None)
@given(st.lists(DOCUMENT, max_size=40), st.integers(1, 80))
def test_it_is_the_longest_run_of_smallest_hashes(documents: Documents, limit: int) -> None:
    sample = contents(sampled(documents, limit))
    for split in SPLITS:
        for label in ("a", "b"):
            texts = {t for s, c, t in documents if s == split and c == label and content_hash(t)}
            fitting = [text for text in texts if len(text.encode()) <= limit]
            taken = [text for text, of in sample[split] if of == label]
            assert sum(len(text.encode()) for text in taken) <= limit
            hashes = [content_hash(text) for text in taken]
            assert hashes == sorted(hashes)
            left = sorted((content_hash(t), len(t.encode())) for t in set(fitting) - set(taken))
            if left:  # the first one of these would not have fitted, or is another way to write
                assert not taken or left[0][0] >= max(hashes)
                sizes = {n for h, n in left if h == left[0][0]}
                assert sum(len(text.encode()) for text in taken) + max(sizes) > limit


def test_every_document_has_the_same_chance() -> None:
    taken: Counter[int] = Counter()
    lengths = [20 + 10 * (i % 3) for i in range(60)]
    for corpus in range(300):
        documents = [("train", "a", f"{corpus} {i} ".ljust(lengths[i], "x")) for i in range(60)]
        sample = sampled(documents, 600)
        taken.update(int(text.split()[1]) for text, _ in sample.documents("train"))
    counts = np.array([taken[i] for i in range(60)])
    assert chisquare(counts).pvalue > 1e-3
    # Long ones are at most a little rarer: where the sample ends.
    by_length = [counts[np.array(lengths) == n].mean() for n in (20, 30, 40)]
    assert max(by_length) < 1.1 * min(by_length)


def test_within_the_limit_of_tokens() -> None:
    draw = random.Random(0)
    groups = [("train", "a"), ("train", "b"), ("test", "a")] * 30
    rows = [
        (*group, f"{draw.getrandbits(128):032x}", number, draw.randint(1, 9))
        for number, group in enumerate(groups)
    ]
    columns = ["split", "label", "content_hash", "document", "length"]
    documents = pd.DataFrame(rows, columns=columns)
    kept = within_limit(documents, 40)
    for _, group in documents.groupby(["split", "label"]):
        inside = group[kept[group.index]]
        outside = group.drop(inside.index)
        assert 30 < inside.length.sum() <= 40
        assert inside.content_hash.max() < outside.content_hash.min()
    assert within_limit(documents, 10_000).all()
    assert not within_limit(documents[documents.length == 9], 8).any()
