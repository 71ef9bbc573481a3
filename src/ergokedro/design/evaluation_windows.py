"""The held-out windows on which every model is measured, the same for all runs of a design.

A window's position in its document is random, so that position in the window and position in the
document are not confounded. Where windows are limited by the cost of training, D and the epochs
decide how many there are; otherwise they depend on the held-out text alone.
"""

from __future__ import annotations

import logging
from bisect import bisect_right

import numpy as np
import pandas as pd
import xxhash

from ergokedro.data.splits import SPLITS
from ergokedro.data.token_store import TokenStore
from ergokedro.design.mixture import Design
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import EvaluationParameters

log = logging.getLogger(__name__)
# Documents of a component in a split, the unit of every interval: fewer than the first number are
# warned of, and the limit on the cost of evaluation leaves at least the second.
FEW_DOCUMENTS = 20
LEAST_DOCUMENTS = 60
# Evaluation may cost a tenth of training. A token costs a forward pass in evaluation, and a forward
# and a backward pass, three times as much, in training.
COST_LIMIT = 0.1
COST_PER_TOKEN = 1 / 3


def choose_evaluation_windows(
    store: TokenStore,
    design: Design,
    params: EvaluationParameters,
    training_tokens: int | None = None,
) -> pd.DataFrame:
    """The fixed held-out windows on which every run is measured.

    Windows lie inside one document, without its end-of-text token, and do not overlap. They are
    evenly spaced from a random phase on, so that every possible start of a window is equally
    likely. The phase depends on the document's content and `params.seed`.

    Parameters
    ----------
    training_tokens : what one run of the chain trains on over all epochs; it limits the windows if
        `params.max_documents` is None, see :func:`affordable_windows`.

    Returns
    -------
    One row per window: split, component, document, start (its first token in the store) and
    document_offset (its first token, counted from the document's first).

    Raises
    ------
    ErgokedroError
        If a component has no window in a held-out split.
    """
    length = design.window_length
    cells = {
        (split, label): _long_documents(store, split, label, length)
        for split in SPLITS[1:]
        for label in design.components
    }
    per_document, most = params.windows_per_document, params.max_documents
    if most is None and training_tokens is not None:
        counts = [cell.windows.to_numpy() for cell in cells.values()]
        per_document, most = affordable_windows(counts, per_document, training_tokens // length)
    frames = [
        _place_windows(cell.iloc[:most], per_document, params.seed).assign(
            split=split, component=label
        )
        for (split, label), cell in cells.items()
    ]
    windows = pd.concat(frames, ignore_index=True)
    _warn_of_few_documents(windows)
    return windows[["split", "component", "document", "start", "document_offset"]]


def _long_documents(store: TokenStore, split: str, label: str, length: int) -> pd.DataFrame:
    """The documents that have a window: columns of the index, room and windows.

    `room` is the number of possible starts of a window, `windows` how many windows fit so that
    they can be evenly spaced over all of these starts without overlapping.
    """
    columns = ["document", "offset", "length", "content_hash"]
    documents = store.documents(split, label).select(columns).to_pandas()
    # The end-of-text token counts as part of the document, but stays outside of windows.
    documents["room"] = documents.length - length
    documents["windows"] = np.maximum(documents.room // length, 1)
    documents = documents[documents.room > 0].reset_index(drop=True)
    if documents.empty:
        raise ErgokedroError(
            f"{label!r} has no {split} document of {length} tokens or more to evaluate on. Give it "
            "more documents, hold out a larger corpus.heldout_fraction, pin other "
            "mixture.components or shorten mixture.window_length."
        )
    return documents


def affordable_windows(
    counts: list[np.ndarray], most: int, training_windows: int
) -> tuple[int, int | None]:
    """How many windows per document, and documents, cost at most a tenth of training.

    All documents with up to `most` windows each, if they are cheap enough. Otherwise fewer windows
    per document, since the document is the unit of every interval; and if one is too many, fewer
    documents, but at least 60 per component and split.

    Parameters
    ----------
    counts : for every component and split, the windows that each document has.
    training_windows : what one run trains on over all epochs. A token of evaluation costs a third
        of one of training: a forward pass without the backward pass, which costs twice as much.

    Returns
    -------
    Windows per document; documents per component and split, None for all.
    """
    budget = int(COST_LIMIT / COST_PER_TOKEN * training_windows)
    together = np.concatenate(counts)
    for per_document in range(min(most, int(together.max())), 0, -1):
        if np.minimum(together, per_document).sum() <= budget:
            return per_document, None
    sizes = [len(cell) for cell in counts]
    documents = bisect_right(
        range(1, max(sizes) + 1), budget, key=lambda limit: sum(min(limit, n) for n in sizes)
    )
    documents = max(documents, LEAST_DOCUMENTS)
    return 1, documents if documents < max(sizes) else None


def _place_windows(documents: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Up to `most` windows of each document: document, start and document_offset."""
    room = documents.room.to_numpy()
    n = np.minimum(documents.windows.to_numpy(), most)
    phase = [
        xxhash.xxh3_64_intdigest(content.encode(), seed) % possible
        for content, possible in zip(documents.content_hash, room.tolist(), strict=True)
    ]
    row = np.repeat(np.arange(len(n)), n)
    window = np.arange(len(row)) - np.repeat(np.cumsum(n) - n, n)
    # For a phase in 0..room - 1 the numerators of the n windows are every n-th part of
    # 0..n * room - 1: each quotient in 0..room - 1 is equally likely.
    offset = (window * room[row] + np.array(phase, dtype=np.int64)[row]) // n[row]
    return pd.DataFrame(
        {
            "document": documents.document.to_numpy()[row],
            "start": documents.offset.to_numpy()[row] + offset,
            "document_offset": offset,
        }
    )


def _warn_of_few_documents(windows: pd.DataFrame) -> None:
    documents = windows[windows.split == "test"].groupby("component", sort=False).document.nunique()
    if len(few := documents[documents < FEW_DOCUMENTS]):
        log.warning(
            "Few test documents: %s. Intervals are over documents: with fewer than %d they are "
            "wide, and those of curve fits and own-text equivalents, percentiles of a bootstrap, "
            "are too narrow. More held-out text (corpus.heldout_fraction) helps.",
            ", ".join(f"{label} {n}" for label, n in few.items()),
            FEW_DOCUMENTS,
        )


def describe_windows(windows: pd.DataFrame, store: TokenStore, design: Design) -> str:
    """One line: how many windows of how many of the held-out documents."""
    cells = [store.documents(split, c) for split in SPLITS[1:] for c in design.components]
    held_out = sum(documents.num_rows for documents in cells)
    documents = len(windows[["split", "document"]].drop_duplicates())
    return (
        f"Evaluation: {len(windows):,} windows of {documents:,} of the {held_out:,} held-out "
        "documents; evaluation.max_documents and evaluation.windows_per_document decide"
    )


def windows_fingerprint(windows: pd.DataFrame) -> str:
    """Hash of the evaluation windows, in their order."""
    digest = xxhash.xxh3_128()
    for column in ("split", "component"):
        digest.update("\n".join(windows[column]).encode())
    for column in ("document", "start"):
        digest.update(windows[column].to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()
