"""Deletes the names of the categories from the text, so that it does not give its label away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pyarrow as pa


def delete_names(
    batches: Iterable[tuple[str, pa.RecordBatch]], names: list[str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The batches without `names` in their column text; nothing else changes.

    A name is deleted where no letter, digit or underscore touches it, in its own case: from
    'cs.AI', cs.AI goes out of '(cs.AI)' and 'cs.AI-based', but not out of 'cs.AIM' or 'CS.AI'.
    Brackets stay, as in the hub data set's configuration no_ref: '[cs.AI]' becomes '[]'.
    """
    pattern = name_pattern(names)
    for split, batch in batches:
        texts = [text and pattern.sub("", text) for text in batch["text"].to_pylist()]
        yield split, batch.set_column(0, "text", pa.array(texts, pa.large_string()))


def name_pattern(names: list[str]) -> re.Pattern[str]:
    """Matches the names as whole tokens; of names that begin alike, the longest."""
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
