"""Documents from JSON Lines or a JSON array: texts are strings, labels of one kind per file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa

from ergokedro.data.columns import Columns
from ergokedro.data.documents import Row, batch_rows
from ergokedro.errors import ErgokedroError

_BOM = b"\xef\xbb\xbf"
# A column may be absent from some documents, but not from all of the first so many.
_HEAD = 1000
_SHOWN = 60  # characters of a value in a message
_LISTED = 10  # numbers of lines in a message
_KINDS = {str: "names", int: "whole numbers", bool: "truth values"}

Item = tuple[int, Any]  # number of the line, or of the document in an array, and the JSON value


def read_json(stream: BinaryIO, origin: str, columns: Columns) -> Iterator[pa.RecordBatch]:
    """Batches of (text, label) from an object per line, an array of objects, or one of two lists.

    A text or label that is null, NaN or absent is missing. The labels of a file are strings, whole
    numbers or truth values, and all of one kind. Lines are read one by one; an array as a whole.

    Raises
    ------
    ErgokedroError
        If a line is not JSON, or a value is of another type; with the number of the line.
    """
    numbered = ((n, line.removeprefix(_BOM)) for n, line in enumerate(stream, 1))
    lines = ((n, line) for n, line in numbered if line.strip())
    number, first = next(lines, (0, b""))
    unit = "document"
    if first.lstrip().startswith(b"[") or first.strip() == b"{":  # of more lines
        items = _documents(_parse(first + stream.read(), f"{origin}, from line {number}"), columns)
    elif not first.strip():
        return iter(())
    else:
        items, unit = _objects(number, first, lines, origin, columns)
    return batch_rows(_rows(items, origin, unit, columns), origin, unit)


def _objects(
    number: int, first: bytes, others: Iterator[Item], origin: str, columns: Columns
) -> tuple[Iterable[Item], str]:
    """The objects of the lines, and what they are numbered by."""
    value = _parse(first, f"{origin}, line {number}")
    following = next(others, None)
    if following is None:
        return _documents(value, columns), "document"
    return chain([(number, value)], _parse_lines(chain([following], others), origin)), "line"


def _parse_lines(lines: Iterator[tuple[int, bytes]], origin: str) -> Iterator[Item]:
    """The value of each line; the error for the first that is not JSON names the later ones."""
    for number, line in lines:
        try:
            value = _parse(line, f"{origin}, line {number}")
        except ErgokedroError as error:
            raise ErgokedroError(f"{error}{_name_broken(lines)}") from error
        yield number, value


def _name_broken(lines: Iterable[tuple[int, bytes]]) -> str:
    """A sentence about lines that cannot be read; empty if all can be."""
    numbers = [number for number, line in lines if not _is_json(line)]
    if not numbers:
        return ""
    listed = ", ".join(map(str, numbers[:_LISTED])) + (", …" if len(numbers) > _LISTED else "")
    return f" Later lines that cannot be read: {len(numbers):,} ({listed}); correct or delete them."


def _is_json(line: bytes) -> bool:
    try:
        _parse(line, "")
    except ErgokedroError:
        return False
    return True


def _parse(data: bytes, where: str) -> Any:
    try:
        return json.loads(data.decode().rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise ErgokedroError(
            f"corpus.source: {where} is not valid UTF-8 ({error.reason} at byte {error.start}). "
            "`iconv -f latin1 -t utf8` converts a file."
        ) from error
    except (ValueError, RecursionError) as error:
        reason = str(error).replace("line 1 column", "column")  # the line is in `where`
        raise ErgokedroError(
            f"corpus.source: {where} is not JSON ({reason}). Give one object per line, or one "
            "array of objects."
        ) from error


def _documents(value: Any, columns: Columns) -> Iterable[Item]:
    """The objects of a file that is one JSON value, numbered from 1."""
    if isinstance(value, dict):
        texts, labels = value.get(columns.text), value.get(columns.label)
        if isinstance(texts, list) and isinstance(labels, list) and len(texts) == len(labels):
            pairs = zip(texts, labels, strict=True)
            value = [{columns.text: text, columns.label: label} for text, label in pairs]
    return enumerate(value if isinstance(value, list) else [value], 1)


def _rows(items: Iterable[Item], origin: str, unit: str, columns: Columns) -> Iterator[Row]:
    kind: type | None = None
    present: dict[str, None] = {}  # column names in order
    count = 0
    for count, (number, value) in enumerate(items, 1):
        if not isinstance(value, dict):
            raise ErgokedroError(
                f"corpus.source: {origin}, {unit} {number}: {_show(value)} is not an object with "
                f"the columns {columns.text!r} and {columns.label!r}."
            )
        if count <= _HEAD:
            present.update(dict.fromkeys(value))
        if count == _HEAD:
            columns.check(present, origin)
        text, label = value.get(columns.text), value.get(columns.label)
        if type(text) is not str:
            _check_missing(text, f"{origin}, {unit} {number}", columns.text)
            text = None
        if label is not None:
            label = _label(label, f"{origin}, {unit} {number}", columns.label)
        if label is not None and type(label) is not kind:
            kind = _check_kind(kind, label, f"{origin}, {unit} {number}")
        yield text, _name(label, columns), number
    if count:
        columns.check(present, origin)


def _check_missing(text: Any, where: str, column: str) -> None:
    """Raise unless a text that is no string is a missing one."""
    if text is not None and text == text:  # NaN, which pandas writes for a missing value, is not
        raise ErgokedroError(
            f"{where}: corpus.text_column = {column!r} holds {_show(text)}, not text. Write it as "
            "a string, or leave the document out."
        )


def _label(label: Any, where: str, column: str) -> str | int | bool | None:
    """A label as a string, whole number or truth value; None for NaN."""
    if isinstance(label, float):
        if label != label:
            return None
        if label.is_integer():
            return int(label)
    if type(label) in _KINDS:
        return label
    raise ErgokedroError(
        f"{where}: corpus.label_column = {column!r} holds {_show(label)}, not one name or number "
        "per document. Write a name as a string, and choose one label for each document."
    )


def _check_kind(kind: type | None, label: Any, where: str) -> type:
    if kind is not None:
        raise ErgokedroError(
            f"corpus.label_column: {where}: the label {_show(label)} is not among "
            f"{_KINDS[kind]}, which the labels before it are. Write all as strings, with one name "
            "per category."
        )
    return type(label)


def _name(label: str | int | bool | None, columns: Columns) -> str | None:
    if label is None or isinstance(label, bool):
        return None if label is None else str(label).lower()
    if isinstance(label, int) and label < 0 and columns.class_names:
        return None
    return columns.name(str(label))


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
