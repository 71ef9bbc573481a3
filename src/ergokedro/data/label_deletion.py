"""Deletes the names of the categories from the text, so that it does not give its label away."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa

from ergokedro.data.documents import Part


def delete_names(parts: Iterable[Part], names: Iterable[str]) -> Iterator[Part]:
    """The parts without `names` in their column text; nothing else changes.

    A name is deleted where no letter, digit or underscore touches it, in its own case: from
    'cs.AI', cs.AI is deleted in '(cs.AI)' and 'cs.AI-based', but not in 'cs.AIM' or 'CS.AI'.
    Spaces in a name stand for any white space, and its Unicode form does not matter. Brackets
    stay, as in the hub data set's configuration no_ref: '[cs.AI]' becomes '[]'.
    """
    pattern = name_pattern(names)

    def read(part: Part) -> Iterator[pa.RecordBatch]:
        for batch in part.batches:
            texts = [text and pattern.sub("", text) for text in batch["text"].to_pylist()]
            yield batch.set_column(0, "text", pa.array(texts, pa.large_string()))

    for part in parts:
        yield replace(part, batches=read(part))


def name_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Matches the names as whole tokens; of names that begin alike, the longest."""
    forms = {unicodedata.normalize(form, name) for name in names for form in ("NFC", "NFD")}
    longest_first = sorted(filter(None, map(str.strip, forms)), key=lambda n: (-len(n), n))
    patterns = (r"\s+".join(map(re.escape, name.split())) for name in longest_first)
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)")
