"""Files of labelled documents: which types there are, and how they are opened."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, BinaryIO

import pyarrow as pa

from ergokedro.data.arrow_files import arrow_schema, parquet_schema, read_arrow, read_parquet
from ergokedro.data.columns import Columns
from ergokedro.data.csv_files import read_csv
from ergokedro.data.documents import Documents, Part
from ergokedro.data.json_files import read_json
from ergokedro.data.labels import class_names
from ergokedro.data.splits import READING_ORDER, SPLITS
from ergokedro.errors import ErgokedroError

Reader = Callable[[BinaryIO, str, Columns], Iterator[pa.RecordBatch]]
READERS: dict[str, Reader] = {
    ".parquet": read_parquet,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".json": read_json,
    ".csv": read_csv,
    ".arrow": read_arrow,
}
_SCHEMAS = {".parquet": parquet_schema, ".arrow": arrow_schema}
_COMPRESSED: dict[str, Callable[[Any], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)
LFS_POINTER = b"version https://git-lfs"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class TableFile:
    """A file of labelled documents.

    Attributes
    ----------
    name : path from the source on; its ending gives the type.
    path : where it is opened: a path of this machine, or of `filesystem`.
    split : the split that its documents belong to.
    filesystem : of fsspec, or None for this machine's.
    """

    name: str
    path: str
    split: str
    filesystem: Any = None


def table_type(name: str) -> str | None:
    """The type of a file by its ending, such as '.csv' of 'A.CSV.gz'; None if it is no table."""
    path = PurePath(name.lower())
    if path.suffix in _COMPRESSED:
        path = path.with_suffix("")
    return path.suffix if path.suffix in READERS else None


def table_documents(
    files: list[TableFile], columns: Columns, revision: str | None = None
) -> Documents:
    """The documents of files, each with the names of its own classes.

    Raises
    ------
    ErgokedroError
        If a file cannot be opened, now or when the documents are read.
    """
    ordered = sorted(files, key=lambda file: (READING_ORDER.index(file.split), file.name))
    labels = [
        name
        for file in sorted(files, key=lambda file: (SPLITS.index(file.split), file.name))
        for name in _class_names(file, columns)
    ]

    def parts() -> Iterator[Part]:
        return (Part(file.split, file.name, FileBatches(file, columns)) for file in ordered)

    return Documents(parts, labels, revision)


@dataclass(frozen=True)
class FileBatches:
    """The batches of a file, which is opened when they are read; another process may do that."""

    file: TableFile
    columns: Columns

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with _opened(self.file) as stream:
            yield from READERS[_type(self.file)](stream, self.file.name, self.columns)


def _class_names(file: TableFile, columns: Columns) -> list[str]:
    """The names of classes that the file declares, or that are declared for it."""
    schema_of = _SCHEMAS.get(_type(file))
    if schema_of is None:
        return columns.class_names or []
    with _opened(file) as stream:
        schema = schema_of(stream)
    columns.check(schema.names, file.name)
    return class_names(schema, columns.label) or columns.class_names or []


def _type(file: TableFile) -> str:
    kind = table_type(file.name)
    if kind is None:
        raise ErgokedroError(
            f"corpus.source: {file.name}: the file type is not one of {sorted(READERS)}. Convert "
            "it, or give each category a folder of text files."
        )
    return kind


@contextmanager
def _opened(file: TableFile) -> Iterator[BinaryIO]:
    """The decompressed content of a file; whatever is wrong with it is one clear error."""
    try:
        opener = file.filesystem.open if file.filesystem else open
        with opener(file.path, "rb") as raw:
            _check_start(raw.read(len(LFS_POINTER)), file)
            raw.seek(0)
            decompress = _COMPRESSED.get(PurePath(file.name.lower()).suffix)
            if decompress is None:
                yield raw
            else:
                with decompress(raw) as stream:
                    yield stream
    except _DAMAGE as error:
        raise ErgokedroError(
            f"corpus.source: {file.name} cannot be read: {str(error).strip() or 'it is damaged'}."
        ) from error


def _check_start(start: bytes, file: TableFile) -> None:
    if start == LFS_POINTER:
        raise ErgokedroError(
            f"corpus.source: {file.name} is not the data but a pointer of Git LFS to them. Fetch "
            "them with `git lfs pull`."
        )
    if start[:2] in _UTF16:
        raise ErgokedroError(
            f"corpus.source: {file.name} is UTF-16, not UTF-8. `iconv -f utf-16 -t utf8` converts "
            "it."
        )
