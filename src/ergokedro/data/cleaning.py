"""Which documents are used: copies are dropped, and so is held-out text from train."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from ergokedro.data.content_hash import content_hash
from ergokedro.data.corpus import Corpus
from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)

KEPT = "kept"
# Why a document can be left out, in the order of the tests.
REASONS = ("unknown_label", "empty", "in_heldout", "duplicate", "near_heldout", "near_duplicate")


def clean_documents(corpus: Corpus) -> pd.DataFrame:
    """Decide for every document of the corpus whether it is used.

    Within a split, the first of equal texts stays and the others are dropped, so that a text
    counts once. A training document that also stands in validation or test is dropped from train.
    What is equal is said in :func:`ergokedro.data.content_hash.content_hash`. Texts that stand
    both in validation and in test, or under two categories, stay, with a warning.

    Returns
    -------
    One row per document in corpus order: document (int64, its number), split, label (or missing),
    status ('kept' or the reason why not) and content_hash.

    Raises
    ------
    ErgokedroError
        If no document of a split is left.
    """
    documents = pd.concat(list(_hash_blocks(corpus)), ignore_index=True)
    documents.insert(0, "document", np.arange(len(documents), dtype=np.int64))
    documents["status"] = _status(documents, set(corpus.labels))
    _log_counts(documents)
    _warn_of_overlap(documents)
    _warn_of_two_labels(documents)
    _warn_of_near_equal_labels(documents)
    _check_not_empty(documents)
    return documents


def _hash_blocks(corpus: Corpus) -> Iterator[pd.DataFrame]:
    for split, group in corpus.blocks():
        block = corpus.read_block(split, group)
        hashes = [content_hash(text or "") for text in block["text"].to_pylist()]
        labels = block["label"].to_pandas().astype("object")
        yield pd.DataFrame({"split": split, "label": labels, "content_hash": hashes})


def _status(documents: pd.DataFrame, labels: set[str]) -> pd.Series:
    """The reason of every document; an earlier test wins."""
    status = pd.Series(KEPT, index=documents.index)
    status[~documents.label.isin(labels)] = "unknown_label"
    status[documents.content_hash == ""] = "empty"
    usable = documents[status == KEPT]
    heldout = usable.split != "train"
    leaked = ~heldout & usable.content_hash.isin(usable.content_hash[heldout])
    copies = usable.duplicated(["split", "content_hash"])
    status[usable.index[leaked]] = "in_heldout"
    status[usable.index[copies]] = "duplicate"
    return status


def _log_counts(documents: pd.DataFrame) -> None:
    dropped = documents[documents.status != KEPT]
    counts = [f"{n} {reason}" for reason, n in dropped.status.value_counts().items()]
    log.info(
        "Cleaning: %s of %s documents kept%s",
        f"{len(documents) - len(dropped):,}",
        f"{len(documents):,}",
        f"; left out: {', '.join(counts)}" if counts else "",
    )
    heldout = dropped[(dropped.split != "train") & (dropped.status == "duplicate")]
    if len(heldout):
        log.warning("Cleaning: %d held-out documents are copies; a text counts once", len(heldout))


def _warn_of_overlap(documents: pd.DataFrame) -> None:
    """Text of both held-out splits: what is chosen on validation is then no guess about test."""
    kept = documents[documents.status == KEPT]
    validation = kept.content_hash[kept.split == "validation"]
    both = int(validation.isin(kept.content_hash[kept.split == "test"]).sum())
    if both:
        log.warning(
            "Cleaning: %d of %d validation documents also stand in test; both keep them, so test "
            "is not independent of validation",
            both,
            len(validation),
        )


def _warn_of_two_labels(documents: pd.DataFrame) -> None:
    usable = documents[~documents.status.isin(["unknown_label", "empty"])]
    pairs = usable[["content_hash", "label"]].drop_duplicates()
    ambiguous = pairs.content_hash[pairs.content_hash.duplicated()].nunique()
    if ambiguous:
        log.warning(
            "Cleaning: %d texts stand under more than one category; where one split has them "
            "twice, the first one stays",
            ambiguous,
        )


def _warn_of_near_equal_labels(documents: pd.DataFrame) -> None:
    """Categories that are probably one, such as 'en', 'EN' and 'en '."""
    for labels in near_equal(documents.label[documents.status == KEPT].unique()):
        log.warning(
            "Cleaning: the categories %s differ in letter case, spaces or Unicode form alone, and "
            "are components of their own; if they are one, write them alike in the corpus",
            " and ".join(map(repr, labels)),
        )


def near_equal(labels: Iterable[str]) -> list[list[str]]:
    """Groups of labels that are equal but for letter case, white space and Unicode form."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", label).casefold())
        groups.setdefault("".join(folded.split()), []).append(label)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def _check_not_empty(documents: pd.DataFrame) -> None:
    for split, statuses in documents.groupby("split", sort=False).status:
        if not (statuses == KEPT).any():
            counts = ", ".join(f"{n} {reason}" for reason, n in statuses.value_counts().items())
            raise ErgokedroError(
                f"Cleaning left no document of {split} ({counts}). Check corpus.text_column, "
                "corpus.label_column and the source's labels."
            )


def leaked_heldout(documents: pd.DataFrame) -> dict[str, int]:
    """How many held-out documents of each split also stood in train."""
    dropped = documents.content_hash[documents.status == "in_heldout"]
    heldout = documents[documents.split != "train"]
    return heldout.content_hash.isin(dropped).groupby(heldout.split).sum().astype(int).to_dict()
