"""Documents from CSV: every cell is text, exactly as it is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from ergokedro.data.columns import Columns
from ergokedro.data.documents import Row, batch_rows
from ergokedro.errors import ErgokedroError

_LARGEST_FIELD = 2**31 - 1  # characters; the largest limit that the csv module takes everywhere
_HINT = (
    " A CSV file has commas between its columns, a first line that names them, and quotes around "
    "texts with commas, quotes or line breaks."
)


def read_csv(stream: BinaryIO, origin: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Batches of (text, label); an empty label is a missing one, and nothing else is.

    Raises
    ------
    ErgokedroError
        If a column is missing, a line has another number of cells than the first one, or quotes
        do not match; with the number of the line.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        yield from batch_rows(_rows(text, origin, columns), origin, "line")
    finally:
        text.detach()  # the stream is closed by who opened it


def _rows(lines: Iterable[str], origin: str, columns: Columns) -> Iterator[Row]:
    csv.field_size_limit(_LARGEST_FIELD)
    reader = csv.reader(lines, strict=True)
    line, header = _next(reader, origin)
    header = [cell.strip() for cell in header]
    if not header:
        return
    columns.check(header, origin, _HINT)
    text, label = header.index(columns.text), header.index(columns.label)
    while True:
        line, cells = _next(reader, origin)
        if len(cells) == len(header):
            yield cells[text], columns.name(cells[label]), line
        elif not cells:
            return
        else:
            raise ErgokedroError(
                f"corpus.source: {origin}, line {line}: {len(cells)} cells, but the first line "
                f"names {len(header)} columns.{_HINT}"
            )


def _next(reader: Any, origin: str) -> tuple[int, list[str]]:
    """The next line that is not empty: where it begins, and its cells, none at the end."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except UnicodeDecodeError as error:
            raise ErgokedroError(
                f"corpus.source: {origin}, line {line} or later is not valid UTF-8 "
                f"({error.reason}). `iconv -f latin1 -t utf8` converts a file."
            ) from error
        except csv.Error as error:
            raise ErgokedroError(
                f"corpus.source: {origin}, line {line}: {error}.{_HINT}"
            ) from error
        if cells != []:
            return line, cells or []
