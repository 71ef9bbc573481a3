"""Documents from Parquet and Arrow files, whose schema says what a column holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ergokedro.data.columns import Columns
from ergokedro.data.documents import SCHEMA
from ergokedro.data.labels import class_names, is_text, names_of_column
from ergokedro.errors import ErgokedroError

# Rows read at once: as many as make up so many bytes, but no more than so many.
_BATCH_BYTES, _BATCH_ROWS = 2**24, 1024


def read_parquet(stream: BinaryIO, origin: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Batches of (text, label); class numbers become the names that the file's schema gives them.

    Raises
    ------
    ErgokedroError
        If a column is missing or holds something else, or a text is not UTF-8.
    """
    file = pq.ParquetFile(stream)
    columns.check(file.schema_arrow.names, origin)
    chosen = [columns.text, columns.label]
    rows = _rows_at_once(file.metadata)
    batches = file.iter_batches(batch_size=rows, columns=chosen)
    return _convert(batches, file.schema_arrow, origin, columns)


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    largest = max((g.total_byte_size // max(1, g.num_rows) for g in groups), default=1)
    return min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, largest)))


def read_arrow(stream: BinaryIO, origin: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    """As :func:`read_parquet`, from an Arrow stream or file, as `datasets` saves them."""
    reader = _open_arrow(stream)
    columns.check(reader.schema.names, origin)
    is_stream = isinstance(reader, pa.RecordBatchStreamReader)
    batches = reader if is_stream else map(reader.get_batch, range(reader.num_record_batches))
    return _convert(batches, reader.schema, origin, columns)


def _open_arrow(stream: BinaryIO) -> pa.RecordBatchStreamReader | pa.RecordBatchFileReader:
    is_file = stream.read(6) == b"ARROW1"
    stream.seek(0)
    return pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)


def parquet_schema(stream: BinaryIO) -> pa.Schema:
    """The schema of a Parquet file."""
    return pq.ParquetFile(stream).schema_arrow


def arrow_schema(stream: BinaryIO) -> pa.Schema:
    """The schema of an Arrow file or stream."""
    return _open_arrow(stream).schema


def _convert(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, origin: str, columns: Columns
) -> Iterator[pa.RecordBatch]:
    names = class_names(schema, columns.label) or columns.class_names
    first = 1
    for batch in batches:
        text = _as_text(batch.column(columns.text), origin, columns.text)
        label = names_of_column(batch.column(columns.label), names, columns.label, origin)
        for column in (text, label):
            _check_unicode(column, origin, first)
        yield pa.record_batch([text, label], schema=SCHEMA)
        first += batch.num_rows


def _as_text(text: pa.Array, origin: str, column: str) -> pa.Array:
    if pa.types.is_dictionary(text.type):
        text = text.dictionary_decode()
    if not (is_text(text.type) or pa.types.is_null(text.type)):
        raise ErgokedroError(
            f"corpus.text_column = {column!r} holds {text.type} in {origin}, not text."
        )
    return text.cast(pa.large_string(), safe=False)


def _check_unicode(column: pa.Array, origin: str, first: int) -> None:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        index = re.search(r"index (\d+)", str(error))
        row = first + int(index[1]) if index else f"{first} or later"
        raise ErgokedroError(
            f"corpus.source: {origin}, row {row}: not valid UTF-8. Repair it in the source, for "
            "example with text.decode('utf-8', errors='replace')."
        ) from error
