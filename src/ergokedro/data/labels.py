"""Categories are names: class numbers are translated file by file, and only names are joined."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ergokedro.data.content_hash import same_characters
from ergokedro.data.documents import SCHEMA, Part
from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)

_WHOLE_NUMBER = re.compile(r"[+-]?\d+")
_SHOWN = 8
# Types of labels, beside text, that have one way of being written.
_PLAIN = (
    pa.types.is_integer, pa.types.is_boolean, pa.types.is_null, pa.types.is_date,
    pa.types.is_decimal,
)  # fmt: skip


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of the classes of a column, from the features that `datasets` writes to a schema.

    None where the schema has no ClassLabel of this name, or the column does not hold numbers.
    """
    kind = schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return None
    return feature_names(features.get(column))


def feature_names(feature: Any) -> list[str] | None:
    """The names of a ClassLabel among the features of `datasets`; None of anything else."""
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    return [str(name) for name in names] if isinstance(names, list) and names else None


def names_of_column(
    labels: pa.Array, names: list[str] | None, column: str, origin: str
) -> pa.Array:
    """Category names (string) of a label column: text, whole numbers or truth values.

    A number is translated by `names`, or stands for itself where there are none; it is null where
    it has no name (such as -1, by custom a document without a label).

    Raises
    ------
    ErgokedroError
        If the column holds something else.
    """
    if pa.types.is_dictionary(labels.type):
        labels = labels.dictionary_decode()
    kind = labels.type
    if pa.types.is_floating(kind):  # as pandas writes whole numbers where some are missing
        labels = _whole_numbers(labels)
        kind = labels.type
    if pa.types.is_integer(kind) and names is not None:
        return _look_up(labels, names)
    if is_text(kind) or any(test(kind) for test in _PLAIN):
        return labels.cast(pa.string())
    raise ErgokedroError(
        f"corpus.label_column = {column!r} holds {kind} in {origin}, not one name or number "
        "per document. Choose one label for each in the source."
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text; bytes are taken for UTF-8."""
    return any(
        test(kind)
        for test in (
            pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
            pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
        )
    )  # fmt: skip


def _whole_numbers(labels: pa.Array) -> pa.Array:
    """As int64 if all are whole, missing for NaN; else as they are."""
    numbers = labels.cast(pa.float64())
    numbers = pc.if_else(pc.is_nan(numbers), None, numbers)
    whole = pc.and_(pc.is_finite(numbers), pc.equal(pc.floor(numbers), numbers))
    return numbers.cast(pa.int64()) if pc.all(whole, min_count=0).as_py() else labels


def _look_up(numbers: pa.Array, names: list[str]) -> pa.Array:
    known = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, len(names)))
    return pa.array(names, pa.string()).take(pc.if_else(known, numbers, None))


def trim(labels: pa.Array) -> pa.Array:
    """Without the white space around them, which has no meaning; null where nothing is left."""
    trimmed = pc.utf8_trim_whitespace(labels)
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


def trim_names(names: Iterable[str]) -> list[str]:
    """As :func:`trim`, of a list of different names."""
    return list(dict.fromkeys(filter(None, (name.strip() for name in names))))


def join_labels(parts: Iterable[Part]) -> Iterator[Part]:
    """The same parts with labels trimmed, checked to be of one vocabulary.

    Raises
    ------
    ErgokedroError
        While they are read: if one place has numbers for labels where another has names, or if a
        held-out split shares no category with train.
    """
    by_origin: dict[str, set[str]] = {}
    by_split: dict[str, set[str]] = {}
    written: dict[str, set[str]] = {}  # by category
    examples: dict[str, str] = {}  # an origin whose labels are all numbers, one with names alone

    def read(part: Part) -> Iterator[pa.RecordBatch]:
        own = by_origin.setdefault(part.origin, set())
        for batch in part.batches:
            labels = trim(batch["label"])
            for label in filter(None, batch["label"].unique().to_pylist()):
                if name := label.strip():
                    written.setdefault(name, set()).add(label)
                    by_split.setdefault(part.split, set()).add(name)
                    own.add(name)
            yield batch.set_column(1, SCHEMA.field(1), labels)
        if own:
            examples.setdefault(_kind(own), part.origin)
        if {"numbers", "names"} == examples.keys():
            _raise_of_kinds(examples, by_origin)

    for part in parts:
        yield replace(part, batches=read(part))
    _check_splits(by_split)
    if merged := {label for forms in written.values() if len(forms) > 1 for label in forms}:
        log.warning("Corpus: labels merged, white space around them aside: %s", show(merged))


def _kind(labels: set[str]) -> str:
    matches = [bool(_WHOLE_NUMBER.fullmatch(label)) for label in labels]
    return "numbers" if all(matches) else "mixed" if any(matches) else "names"


def _raise_of_kinds(examples: dict[str, str], by_origin: dict[str, set[str]]) -> None:
    numbers, names = examples["numbers"], examples["names"]
    raise ErgokedroError(
        f"corpus.label_column: {numbers} has the labels {show(by_origin[numbers])}, and {names} "
        f"has {show(by_origin[names])}. Numbers and names cannot be joined: write the names in "
        "every file."
    )


def _check_splits(by_split: dict[str, set[str]]) -> None:
    train = by_split.get("train", set())
    for split, labels in by_split.items():
        if train and labels and not labels & train:
            raise ErgokedroError(
                f"corpus.label_column: train has the labels {show(train)}, and {split} has "
                f"{show(labels)}: no category is in both. Write the same names in every split."
            )
        if unknown := labels - train:
            log.warning("Corpus: categories of %s without training text: %s", split, show(unknown))
    _warn_of_lookalikes(set().union(*by_split.values()))


def _warn_of_lookalikes(labels: set[str]) -> None:
    forms = Counter(map(same_characters, labels))
    if twice := [form for form, n in forms.items() if n > 1]:
        log.warning(
            "Corpus: these categories are written in several Unicode forms or with characters "
            "without a width, and are kept apart: %s. If they are the same, write them alike in "
            "the source.",
            show(twice),
        )


def show(labels: Iterable[str]) -> str:
    """Some labels, sorted, for a message."""
    names = sorted(labels)
    shown = ", ".join(repr(name[:60]) for name in names[:_SHOWN])
    return shown + (f", … ({len(names):,} in all)" if len(names) > _SHOWN else "")


def find_labels(parts: Iterable[Part]) -> list[str]:
    """All category names of the parts, trimmed and sorted; this reads the documents."""
    batches = (batch for part in parts for batch in part.batches)
    labels = {label for batch in batches for label in batch["label"].unique().to_pylist()}
    return sorted(trim_names(filter(None, labels)))


def check_deletable(labels: Iterable[str]) -> None:
    """Raise where the categories have numbers for names, which stand in texts for other things."""
    names = list(labels)
    if names and all(_WHOLE_NUMBER.fullmatch(name) for name in names):
        raise ErgokedroError(
            f"corpus.delete_label_names = true, but corpus.label_column holds numbers without "
            f"names ({show(names)}); they would go out of the text wherever they stand."
        )
