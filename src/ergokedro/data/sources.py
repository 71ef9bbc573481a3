"""Where a corpus comes from: the registered sources, files, URLs and the hub.

Every source gives documents in parts (see `documents.py`). What follows is the same for all:
labels are joined by name, category names are deleted from the text if so asked, and held-out
splits that are missing are taken from train.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from ergokedro.data import synthetic
from ergokedro.data.docstrings import find_packages, identify_packages, read_packages
from ergokedro.data.documents import Documents, Part, Row, Source, batch_rows
from ergokedro.data.file_listing import locate
from ergokedro.data.hub import hub_source
from ergokedro.data.label_deletion import delete_names
from ergokedro.data.labels import check_deletable, find_labels, join_labels, trim_names
from ergokedro.data.local_files import local_source
from ergokedro.data.remote_files import remote_source
from ergokedro.data.splits import READING_ORDER, SPLITS, fill_missing_splits, split_named
from ergokedro.data.streaming import sample_documents
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters
from ergokedro.registry import Registry
from ergokedro.remote import is_remote

# Sources by the value of the setting; any other value is a path, a URL or a name on the hub.
SOURCES: Registry[Callable[[CorpusParameters], Source]] = Registry("corpus.source")

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Settings that are used only after a corpus was read, or that do not change what is read.
_LATER = {"document_order_seed", "near_duplicates", "near_duplicate_threshold", "processes"}
# Settings that only sources of files or of the hub use.
_OF_FILES = ("text_files", "config", "revision")


@dataclass(frozen=True)
class CorpusStream:
    """A corpus that is about to be read.

    Attributes
    ----------
    key : what identifies it; a cached corpus with an equal key need not be read again.
    open : opens it.
    """

    key: dict[str, Any]
    open: Callable[[], OpenCorpus]


@dataclass(frozen=True)
class OpenCorpus:
    """Batches of schema `documents.SCHEMA`, each of one split, that can be read once.

    Attributes
    ----------
    labels : category names in the source's own order; others may be among the documents.
    """

    revision: str | None
    labels: list[str]
    batches: Iterator[tuple[str, pa.RecordBatch]]


def corpus_stream(params: CorpusParameters) -> CorpusStream:
    """The corpus that `params.source` names.

    Raises
    ------
    ErgokedroError
        If the source is neither known, nor a path of something, nor shaped like a hub name, or a
        setting has no effect on a source of its kind.
    """
    source = _choose(params)
    _check_used(params, source)
    return CorpusStream(_key(params, source), lambda: _open(source.open(), params))


def _choose(params: CorpusParameters) -> Source:
    if params.source in SOURCES:
        return SOURCES[params.source](params)
    if params.options:
        raise ErgokedroError(
            f"corpus.options = {params.options} is for registered sources "
            f"({', '.join(SOURCES)}), and corpus.source = {params.source!r} is none."
        )
    if is_remote(params.source):
        return remote_source(params)
    try:
        if (location := locate(params.source)) is not None:
            return local_source(params, location)
    except OSError as error:
        raise ErgokedroError(
            f"corpus.source = {params.source!r} cannot be read: {error.strerror}: {error.filename}."
        ) from error
    if params.source.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(params.source):
        raise ErgokedroError(
            f"corpus.source = {params.source!r}: no such file or directory, seen from "
            f"{Path.cwd()}. Give an existing path, a hub name, or one of {', '.join(SOURCES)}."
        )
    return hub_source(params)


def _check_used(params: CorpusParameters, source: Source) -> None:
    """Refuse settings that the source does not use."""
    for name in source.unused:
        if value := getattr(params, name):
            raise ErgokedroError(
                f"corpus.{name} = {value!r} has no effect on corpus.source = {params.source!r}; "
                f"leave it out, or write corpus.{name}=null where an environment sets it."
            )


def _key(params: CorpusParameters, source: Source) -> dict[str, Any]:
    """The settings that decide what is read, where they are not the defaults, and the content."""
    later = _LATER if params.streaming else _LATER | {"max_tokens_per_category"}
    settings = params.model_dump(exclude={"synthetic", *later}, exclude_defaults=True)
    return {**settings, "source": params.source, **source.key}


def _open(documents: Documents, params: CorpusParameters) -> OpenCorpus:
    """Join the labels, delete them from the text if so asked, and fill missing splits."""
    names = find_labels(documents.parts()) if params.delete_label_names else []
    check_deletable(names)
    if params.streaming:
        batches = sample_documents(documents, params, names)
    else:
        parts: Iterable[Part] = join_labels(documents.parts())
        # Before splits are made by content, so that texts that become equal are in the same one.
        parts = delete_names(parts, names) if names else parts
        batches = fill_missing_splits(parts, params.heldout_fraction)
    return OpenCorpus(documents.revision, trim_names(documents.labels), batches)


def row_source(
    key: dict[str, Any],
    read: Callable[[], Iterable[tuple[str, str | None, str | None]]],
    labels: Sequence[str] = (),
    unused: tuple[str, ...] = (),
) -> Source:
    """A source from a function that gives documents one by one.

    Parameters
    ----------
    key : JSON value that changes whenever the documents do, such as a version or a hash of files.
    read : gives (split, text, label), held-out documents before those of train; a missing text or
        label is None. It may be called twice. Splits that it does not give are taken from train.
    labels : category names in an order of your own; by default they are sorted.
    unused : settings `corpus.*` that have no effect on the source; setting one is an error.
    """

    def parts() -> Iterator[Part]:
        numbered = ((number, *row) for number, row in enumerate(read(), 1))
        for name, rows in groupby(numbered, key=itemgetter(1)):
            split = split_named(str(name))
            if split is None:
                raise ErgokedroError(
                    f"A corpus source gives a document of the split {name!r}; the splits are "
                    f"{', '.join(SPLITS)}."
                )
            origin = f"the source's split {split}"
            checked = (_check_row(number, text, label) for number, _, text, label in rows)
            yield Part(split, origin, batch_rows(checked, origin, "document"))

    return Source(key, lambda: Documents(parts, list(labels)), unused)


def _check_row(number: int, text: Any, label: Any) -> Row:
    for name, value in (("text", text), ("label", label)):
        if not (value is None or isinstance(value, str)):
            raise ErgokedroError(
                f"Document {number} of a corpus source has the {name} {value!r}; it must be a "
                "string, or None where it is missing."
            )
    return text, label, number


@SOURCES.add("synthetic")
def _synthetic(params: CorpusParameters) -> Source:
    def read() -> Iterator[tuple[str, str, str]]:
        for split in READING_ORDER:
            for text, label in synthetic.iter_documents(params.synthetic, split):
                yield split, text, label

    names = synthetic.component_names(params.synthetic.components)
    return row_source(params.synthetic.model_dump(), read, names, (*_OF_FILES, "options"))


@SOURCES.add("docstrings")
def _docstrings(params: CorpusParameters) -> Source:
    folders = find_packages(params.options)
    key = identify_packages(folders)
    return row_source(key, lambda: read_packages(folders), unused=_OF_FILES)
