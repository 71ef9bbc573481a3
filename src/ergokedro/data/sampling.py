"""A uniform sample of documents of bounded size, whatever the order in which they come.

Documents are taken in the order of their content hash until the next one would exceed the limit.
The hash says nothing of the text, so every document has the same chance. Which documents these are
depends on the set of documents alone: samples of parts of a corpus, made by any number of readers,
join to the sample of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush

import pandas as pd
import xxhash

from ergokedro.data.content_hash import content_hash

# More than any tokenizer's mean over a category: text of so many bytes has the tokens asked for.
BYTES_PER_TOKEN = 8
_ABOVE_ALL_KEYS = 1 << 256


class _Smallest:
    """Keeps the texts with the smallest keys, as many as have at most `limit` bytes together.

    Attributes
    ----------
    texts : UTF-8 by key.
    bound : keys from here on do not belong to the sample.
    """

    def __init__(self, bound: int = _ABOVE_ALL_KEYS):
        self.texts: dict[int, bytes] = {}
        self.bound = bound
        self._largest_first: list[int] = []
        self._size = 0

    def add(self, key: int, text: bytes, limit: int) -> None:
        if key >= self.bound or key in self.texts:
            return
        self.texts[key] = text
        heappush(self._largest_first, -key)
        self._size += len(text)
        while self._size > limit:
            self.exclude(-self._largest_first[0])

    def exclude(self, bound: int) -> None:
        """Leave out what is not below `bound`, now and later."""
        self.bound = min(self.bound, bound)
        while self._largest_first and -self._largest_first[0] >= self.bound:
            self._size -= len(self.texts.pop(-heappop(self._largest_first)))


class Sample:
    """A sample of every category of every split.

    Exact copies count once. Not taken are documents without text or category, and those that are
    longer than the limit.

    Parameters
    ----------
    limit : UTF-8 bytes of each category of a split.

    Attributes
    ----------
    read : documents by split that were looked at.
    left_out : of these, those that can be in no sample, by reason.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.read: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self._categories: dict[tuple[str, str], _Smallest] = {}

    def add(self, split: str, label: str | None, text: str | None) -> None:
        """Look at a document."""
        self.read[split] += 1
        text = text or ""
        if label is None:
            self.left_out["without a category"] += 1
        elif not (digest := content_hash(text)):
            self.left_out["empty"] += 1
        elif 4 * len(text) > self.limit and len(text.encode()) > self.limit:
            self.left_out["longer than the limit"] += 1
        else:
            # Equal content has the same first half; the second tells apart how it is written.
            key = int(digest, 16) << 128
            category = self._categories.setdefault((split, label), _Smallest())
            if key < category.bound:
                content = text.encode()
                category.add(key | xxhash.xxh3_128_intdigest(content), content, self.limit)

    def empty(self) -> Sample:
        """A sample for another reader, without documents that this one already excludes."""
        other = Sample(self.limit)
        other._categories = {name: _Smallest(c.bound) for name, c in self._categories.items()}
        return other

    def merge(self, other: Sample) -> None:
        """Add what another reader has sampled."""
        self.read += other.read
        self.left_out += other.left_out
        for name, theirs in other._categories.items():
            ours = self._categories.setdefault(name, _Smallest())
            ours.exclude(theirs.bound)
            for key, text in theirs.texts.items():
                ours.add(key, text, self.limit)

    def documents(self, split: str) -> Iterator[tuple[str, str]]:
        """(text, label) of the sample, ordered by key."""
        keyed = (
            (key, label, text)
            for (category_split, label), category in self._categories.items()
            if category_split == split
            for key, text in category.texts.items()
        )
        for _, label, text in sorted(keyed, key=lambda row: row[:2]):
            yield text.decode(), label


def within_limit(documents: pd.DataFrame, limit: int) -> pd.Series:
    """Which documents are in the sample of at most `limit` tokens of each split and category.

    Parameters
    ----------
    documents : columns split, label, content_hash, document and length (tokens).

    Returns
    -------
    bool, with the index of `documents`.
    """
    fitting = documents[documents.length <= limit].sort_values(["content_hash", "document"])
    total = fitting.groupby(["split", "label"], sort=False).length.cumsum()
    # The first document that does not fit ends the sample: short ones after it would be favoured.
    return (total <= limit).reindex(documents.index, fill_value=False)
