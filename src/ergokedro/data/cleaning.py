"""Which documents are used: exact duplicates and held-out documents leave the training split."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xxhash

from ergokedro.data.corpus import Corpus

log = logging.getLogger(__name__)

KEPT = "kept"
_PIECE = 2**20  # characters
# Why a document can be left out, in the order of the tests.
REASONS = ("unknown_label", "empty", "in_heldout", "duplicate", "near_heldout", "near_duplicate")


def content_hash(text: str) -> str:
    """128-bit XXH3 (hex) of the text after NFC and white space normalisation; "" if it is blank."""
    digest, blank = xxhash.xxh3_128(), True
    for piece in _pieces(text):
        if words := unicodedata.normalize("NFC", piece).split():
            digest.update((("" if blank else " ") + " ".join(words)).encode())
            blank = False
    return "" if blank else digest.hexdigest()


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces, so that the words of a long one are never all in memory.

    A piece ends after a space, which neither belongs to a word nor composes with what follows.
    """
    start = 0
    while len(text) - start > _PIECE:
        stop = text.rfind(" ", start, start + _PIECE) + 1 or text.find(" ", start + _PIECE) + 1
        if stop == 0:
            break
        yield text[start:stop]
        start = stop
    yield text[start:] if start else text


def clean_documents(corpus: Corpus) -> pd.DataFrame:
    """Decide for every document of the corpus whether it is used.

    Duplicates are dropped within train, where the first copy stays; then a training document
    that also stands in validation or test is dropped from train.

    Returns
    -------
    One row per document in corpus order: document (int64, its number), split, label (or missing),
    status ('kept' or the reason why not) and content_hash.
    """
    frames = []
    for split, group in corpus.blocks():
        block = corpus.read_block(split, group)
        hashes = [content_hash(text or "") for text in block["text"].to_pylist()]
        frames.append(
            pd.DataFrame(
                {
                    "split": split,
                    "label": block["label"].to_pandas().astype("object"),
                    "content_hash": hashes,
                }
            )
        )
    documents = pd.concat(frames, ignore_index=True)
    documents.insert(0, "document", np.arange(len(documents), dtype=np.int64))
    documents["status"] = _status(documents, set(corpus.labels))
    counts = documents.loc[documents.status != KEPT, "status"].value_counts()
    log.info(
        "Cleaning: %s", ", ".join(f"{n} {reason}" for reason, n in counts.items()) or "all kept"
    )
    return documents


def _status(documents: pd.DataFrame, labels: set[str]) -> pd.Series:
    """The reason of every document; an earlier test wins."""
    status = pd.Series(KEPT, index=documents.index)
    status[~documents.label.isin(labels)] = "unknown_label"
    status[documents.content_hash == ""] = "empty"
    train = documents[(documents.split == "train") & (status == KEPT)]
    heldout = documents[(documents.split != "train") & (status == KEPT)]
    copies = train.content_hash.duplicated()
    leaked = train.content_hash.isin(heldout.content_hash)
    status[train.index[leaked]] = "in_heldout"
    status[train.index[copies]] = "duplicate"
    return status


def leaked_heldout(documents: pd.DataFrame) -> dict[str, int]:
    """How many held-out documents of each split also stood in train."""
    dropped = documents.content_hash[documents.status == "in_heldout"]
    heldout = documents[documents.split != "train"]
    return heldout.content_hash.isin(dropped).groupby(heldout.split).sum().astype(int).to_dict()
