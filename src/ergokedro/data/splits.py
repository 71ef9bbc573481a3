"""Splits: their names, which are the same for every source, and how missing ones are made."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import PurePath

import numpy as np
import pyarrow as pa

from ergokedro.data.content_hash import quick_hash
from ergokedro.data.documents import Part
from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
# Held-out text is read first: which splits are missing is then known when train is read.
READING_ORDER = ("validation", "test", "train")
_NAMES = {
    "train": ("train", "training"),
    "validation": (
        "validation", "validate", "validating", "valid", "val", "dev", "devel", "development",
        "eval", "evaluation", "evaluating",
    ),
    "test": ("test", "testing", "holdout", "heldout"),
}  # fmt: skip
_SPLIT_OF = {name: split for split, names in _NAMES.items() for name in names}
# What may follow a name in one word ('trainset') or as the rest of a folder's name ('test_data').
_SUFFIXES = ("set", "data", "split")
_WORD = re.compile(r"[^\W\d_]+")
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LISTED = 6


def split_named(name: str) -> str | None:
    """The split of exactly this name, such as 'Dev', 'test_data' or 'held-out'; None if of none."""
    joined = "".join(_words(name))
    for suffix in ("", *_SUFFIXES):
        if joined.endswith(suffix):
            stem = joined[: len(joined) - len(suffix)]
            if stem in _SPLIT_OF:
                return _SPLIT_OF[stem]
    return None


def splits_in(name: str) -> set[str]:
    """The splits that words of a file's name name: 'my_train-2.jsonl' gives {'train'}."""
    words = _words(name)
    pairs = [first + second for first, second in pairwise(words)]
    return {split for word in (*words, *pairs) if (split := split_named(word))}


def _words(name: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(_CAMEL_CASE.sub(" ", name))]


def split_of_path(path: str) -> str | None:
    """The split that the name of a file, or of a folder above it, names; None if none does.

    Parameters
    ----------
    path : from the source on, with '/' between its parts.

    Raises
    ------
    ErgokedroError
        If the path names two splits.
    """
    *folders, file = PurePath(path).parts
    named = splits_in(file).union(*(s for s in map(splits_in, folders) if len(s) == 1))
    if len(named) > 1:
        raise ErgokedroError(
            f"corpus.source: the name of {path} names the splits {' and '.join(sorted(named))}. "
            "Rename it so that it names the one that it belongs to."
        )
    return next(iter(named), None)


def assign_splits(
    paths: Iterable[str], source: str, declared: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Files by split, as declared or as their names say, and under '' those that are not read.

    Without a name of a split anywhere all files are train. Where some files name held-out splits,
    the others are train unless there are files named train; then it cannot be known what the
    others are, and they are not read. A single file is the whole corpus unless it names a
    held-out split.

    Raises
    ------
    ErgokedroError
        If a file names two splits, or if there are held-out files alone.
    """
    files = sorted(paths)
    known = declared or {}
    if len(files) == 1 and not known and "train" in splits_in(files[0]):
        return {"train": files}
    splits: dict[str, list[str]] = {}
    for path in files:
        splits.setdefault(known.get(path) or split_of_path(path) or "", []).append(path)
    if "train" not in splits and "" in splits:
        splits["train"] = splits.pop("")
    check_train(splits, source)
    return splits


def check_train(splits: Iterable[str], source: str) -> None:
    """Raise where there is no training split."""
    if "train" not in splits:
        raise ErgokedroError(
            f"corpus.source = {source!r} has the splits {sorted(filter(None, splits))}, but no "
            "'train'. Text of held-out splits is never trained on; if it is the whole corpus, "
            "give its file or folder another name."
        )


def log_files(splits: dict[str, list[str]], others: list[str]) -> None:
    """Say which files are read, as what, and which are not.

    Parameters
    ----------
    others : files that hold no documents, or not those of the configuration.
    """
    for split in SPLITS:
        if split in splits:
            log.info("Corpus: %s is %s", split, _enumerate(splits[split]))
    if ignored := splits.get(""):
        log.warning(
            "Corpus: not read: %s. Their names name no split, and files beside them are named "
            "train; rename them to train-… if they are training text.",
            _enumerate(ignored),
        )

    if others:
        log.info("Corpus: not read, because they hold no documents of it: %s", _enumerate(others))


def _enumerate(names: list[str]) -> str:
    """A list of names, and how many more there are."""
    if len(names) <= _LISTED:
        return ", ".join(names)
    shown = ", ".join(names[: _LISTED - 2])
    return f"{shown}, … {names[-1]} ({len(names):,} files)"


def fill_missing_splits(
    parts: Iterable[Part], fraction: float
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Batches with their split; held-out splits without a document get a share of train.

    The share is chosen by content hash: texts that are equal but for their encoding fall on the
    same side, and the order of the documents does not matter.

    Raises
    ------
    ErgokedroError
        If a held-out document follows training documents.
    """
    missing: list[str] | None = None
    documents = dict.fromkeys(SPLITS, 0)
    named: set[str] = set()
    for part in parts:
        named.add(part.split)
        for batch in part.batches:
            documents[part.split] += batch.num_rows
            if part.split == "train":
                if missing is None:
                    missing = missing_splits(documents, named, fraction)
                yield from divide(batch, missing, fraction)
            elif missing is None:
                yield part.split, batch
            else:
                raise late_heldout(part)


def late_heldout(part: Part) -> ErgokedroError:
    """Of held-out documents that come when training documents have been read."""
    return ErgokedroError(
        f"{part.origin} gives documents of {part.split} after those of train; a source gives its "
        "held-out documents first."
    )


def missing_splits(
    documents: Mapping[str, int], named: Collection[str], fraction: float
) -> list[str]:
    """The held-out splits without documents, which the log says; `named` are those that exist."""
    missing = [split for split in SPLITS[1:] if not documents[split]]
    for split in missing:
        log.log(
            logging.WARNING if split in named else logging.INFO,
            "Corpus: %s %s; a share of %.3g of train becomes it (corpus.heldout_fraction)",
            split,
            "is given, but holds no document" if split in named else "is not given",
            fraction,
        )
    return missing


def divide(
    batch: pa.RecordBatch, missing: list[str], fraction: float
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Documents of train, of which each of the missing splits gets a share."""
    if not missing:
        yield "train", batch
        return
    shares = np.array([quick_hash(text or "") / 2**64 for text in batch["text"].to_pylist()])
    target = np.minimum((shares / fraction).astype(np.int64), len(missing))
    for number, name in enumerate([*missing, "train"]):
        if (chosen := np.flatnonzero(target == number)).size:
            yield name, batch.take(pa.array(chosen))
