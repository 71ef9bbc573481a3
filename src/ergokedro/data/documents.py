"""What every corpus source gives: documents with a category, in parts of one split each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ergokedro.errors import ErgokedroError

SCHEMA = pa.schema([("text", pa.large_string()), ("label", pa.string())])
# Bounds of a record batch; a longer text is a batch of its own.
_BATCH_ROWS, _BATCH_CHARACTERS = 256, 2**23

# Text, label (either may be missing) and the number of the line, row or file, for messages.
Row = tuple[str | None, str | None, int]


@dataclass(frozen=True)
class Part:
    """Documents of one split from one place, such as a file.

    Attributes
    ----------
    split : 'train', 'validation' or 'test'.
    origin : the place, for messages.
    batches : of schema SCHEMA; the label is a category's name, or null where it is not known.
    """

    split: str
    origin: str
    batches: Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class Documents:
    """The content of a source.

    Attributes
    ----------
    parts : gives the parts, those of held-out splits before those of train; may be called twice.
    labels : category names in the source's own order; those that only the documents tell follow.
    revision : what the source calls its state, such as a commit; None if it has no such name.
    """

    parts: Callable[[], Iterable[Part]]
    labels: list[str] = field(default_factory=list)
    revision: str | None = None


@dataclass(frozen=True)
class Source:
    """A corpus source before anything is read.

    Attributes
    ----------
    key : JSON value that identifies the documents; a cached corpus is read again when it changes.
    open : opens the source.
    unused : settings `corpus.*` that have no effect on it; setting one is an error.
    """

    key: dict[str, Any]
    open: Callable[[], Documents]
    unused: tuple[str, ...] = ()


def batch_rows(rows: Iterable[Row], origin: str, unit: str) -> Iterator[pa.RecordBatch]:
    """Rows as record batches of bounded size.

    Parameters
    ----------
    origin, unit : of a row, for messages: 'texts.csv' and 'line'.

    Raises
    ------
    ErgokedroError
        If a text or label is not valid Unicode.
    """
    pending: list[Row] = []
    characters = 0
    for row in rows:
        pending.append(row)
        characters += len(row[0] or "")
        if len(pending) == _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield _record_batch(pending, origin, unit)
            pending, characters = [], 0
    if pending:
        yield _record_batch(pending, origin, unit)


def _record_batch(rows: list[Row], origin: str, unit: str) -> pa.RecordBatch:
    columns = zip(*((text, label) for text, label, _ in rows), strict=True)
    try:
        arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
        return pa.record_batch(arrays, schema=SCHEMA)
    except UnicodeEncodeError:
        number = next(n for t, c, n in rows if not (_is_unicode(t) and _is_unicode(c)))
        raise ErgokedroError(
            f"corpus.source: {origin}, {unit} {number}: not valid Unicode (half of a surrogate "
            "pair). Repair it in the source, for example with text.encode('utf-8', "
            "errors='replace')."
        ) from None


def _is_unicode(text: str | None) -> bool:
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        return False
    return True
