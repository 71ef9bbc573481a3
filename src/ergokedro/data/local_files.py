"""A corpus on this machine: tables of documents, or a folder of text files per category."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath

from fsspec.utils import glob_translate

from ergokedro.data.columns import Columns
from ergokedro.data.dataset_card import CARD, INFOS, Card, read_card, read_cards
from ergokedro.data.documents import Source
from ergokedro.data.file_listing import Location, hash_files
from ergokedro.data.labels import show
from ergokedro.data.splits import SPLITS, assign_splits, check_train, log_files, split_named
from ergokedro.data.table_files import TableFile, table_documents, table_type
from ergokedro.data.text_folders import find_text_files, text_documents
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters

log = logging.getLogger(__name__)

# They describe a data set and hold no documents of it.
_METADATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
# What `datasets` leaves beside the data in a folder of `save_to_disk`.
_CACHE = re.compile(r"cache-.*\.arrow")
_TEXT_FILES = (
    " If the documents are text files, a folder per category, set corpus.text_files to the glob or "
    "ending that they have, such as .txt."
)
_SHARD = re.compile(r"(.*)-\d{5}-of-(\d{5})(\.[^/]*)")


def local_source(params: CorpusParameters, location: Location) -> Source:
    """Documents in tables, or in a folder of text files per category.

    Raises
    ------
    ErgokedroError
        If no files can be chosen: of no known type, of two splits at once, or none for train.
    """
    pattern = params.text_files
    if pattern is not None and not location.is_directory:
        raise ErgokedroError(
            f"corpus.text_files = {pattern!r} is for a directory with a folder per category, and "
            f"corpus.source = {params.source!r} is none."
        )
    if pattern is None and location.is_directory and not any(map(is_table, location.names)):
        pattern = "**/*"
    return _table_source(params, location) if pattern is None else _text_source(location, pattern)


def is_table(name: str) -> bool:
    """Whether a file, by its name, holds documents in a table."""
    base = PurePath(name).name
    return table_type(name) is not None and base not in _METADATA and not _CACHE.fullmatch(base)


def _text_source(location: Location, pattern: str) -> Source:
    root = location.root
    files = find_text_files(root, pattern)
    paths = [path for members in files.values() for _, path in members]
    for split, members in sorted(files.items(), key=lambda item: SPLITS.index(item[0])):
        categories = sorted({category for category, _ in members})
        log.info("Corpus: %s is %s files of %s", split, f"{len(members):,}", show(categories))
    if others := len(set(location.files) - set(paths)):
        log.info("Corpus: not read: %d of %d files", others, len(location.files))
    key = {"files": hash_files(paths, root)}
    return Source(key, lambda: text_documents(files, root), unused=("config", "revision"))


def _table_source(params: CorpusParameters, location: Location) -> Source:
    files, columns = find_tables(params, location)
    read = [Path(file.path) for file in files]
    described = [location.root / name for name in (CARD, INFOS) if name in location.names]
    key = {"files": hash_files([*read, *described], location.root)}
    # Only the card of a directory declares configurations, of which one is read.
    unused = ("revision",) if location.is_directory else ("config", "revision")
    return Source(key, lambda: table_documents(files, columns), unused)


def find_tables(params: CorpusParameters, location: Location) -> tuple[list[TableFile], Columns]:
    """The tables to read, each with its split, and the columns to read from them."""
    names = location.names
    if location.is_directory:
        card = read_card(location.root, params.config)
        splits = _of_card(list(names), card, params.source)
        class_names = card.class_names.get(params.label_column)
    else:
        cards = read_cards(location.root)
        splits = choose_tables(list(names), params.source, _declared(list(names), cards))
        known = [card.class_names.get(params.label_column) for card in cards]
        class_names = known[0] if known and all(k == known[0] for k in known) else None
    _log(splits, location)
    files = [
        TableFile(name, str(names[name]), split)
        for split in SPLITS
        for name in splits.get(split, [])
    ]
    advice = _TEXT_FILES if location.is_directory else ""
    return files, Columns(params.text_column, params.label_column, class_names, advice)


def choose_tables(
    names: list[str], source: str, declared: dict[str, str] | None = None
) -> dict[str, list[str]]:
    """Files by split, as declared or from their names; under '' those that are not read."""
    tables = [name for name in names if is_table(name)]
    return assign_splits(tables or names, source, declared)


def _of_card(names: list[str], card: Card, source: str) -> dict[str, list[str]]:
    """Files by split, where a card says which they are; else from their names."""
    folder = PurePath(card.folder)
    if card.patterns is None:
        inside = {str(PurePath(n).relative_to(folder)): n for n in names if _is_in(n, folder)}
        chosen = choose_tables(list(inside), source)
        return {split: [inside[name] for name in members] for split, members in chosen.items()}
    splits: dict[str, list[str]] = {}
    for title, patterns in card.patterns.items():
        files = [name for pattern in patterns for name in _matching(names, folder / pattern)]
        if not title:
            return assign_splits(files, source)
        split = split_named(title)
        if split is None:
            log.warning("Corpus: not read: the split %r, which is none of the three", title)
        else:
            splits.setdefault(split, []).extend(files)
    check_train(splits, source)
    return splits


def _is_in(name: str, folder: PurePath) -> bool:
    return PurePath(name).is_relative_to(folder) and name != CARD


def _matching(names: list[str], pattern: PurePath) -> list[str]:
    matches = re.compile(glob_translate(pattern.as_posix())).match
    matching = sorted(name for name in names if matches(name))
    if not matching:
        raise ErgokedroError(f"{CARD} names the files '{pattern.as_posix()}', and there are none.")
    return matching


def _declared(names: list[str], cards: list[Card]) -> dict[str, str]:
    """The splits that cards give to files, where they agree."""
    declared: dict[str, set[str]] = {}
    for card in cards:
        for title, patterns in (card.patterns or {}).items():
            for pattern in patterns:
                path = PurePath(card.folder) / pattern
                matches = re.compile(glob_translate(path.as_posix())).match
                for name in filter(matches, names):
                    declared.setdefault(name, set()).add(split_named(title) or "")
    return {name: next(iter(splits)) for name, splits in declared.items() if len(splits) == 1}


def _log(splits: dict[str, list[str]], location: Location) -> None:
    chosen = [name for members in splits.values() for name in members]
    others = set(location.names) - set(chosen)
    log_files(splits, sorted(n for n in others if PurePath(n).name not in {CARD, *_METADATA}))
    _check_shards(chosen, location.is_directory)


def _check_shards(names: Iterable[str], is_error: bool) -> None:
    """Files numbered '-00000-of-00003' are a set, of which a copy may have left some out."""
    sets = Counter(match.groups() for name in names if (match := _SHARD.fullmatch(name)))
    for (name, count, _), there in sets.items():
        if there == int(count):
            continue
        message = f"of the {int(count)} files of {name!r} only {there} are there"
        if is_error:
            raise ErgokedroError(
                f"corpus.source: {message}. Copy the others, or name those that are there by a "
                "glob."
            )
        log.warning("Corpus: %s", message)
