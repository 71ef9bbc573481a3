"""The held-out windows on which every model is measured."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import xxhash

from ergokedro.data.splits import SPLITS
from ergokedro.data.token_store import TokenStore
from ergokedro.design.mixture import Design
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import EvaluationParameters

log = logging.getLogger(__name__)
# The unit of every interval is the document; coverage was simulated from 60 on (measurement.md).
FEW_DOCUMENTS = 20


def choose_evaluation_windows(
    store: TokenStore, design: Design, params: EvaluationParameters
) -> pd.DataFrame:
    """The fixed held-out windows on which every run is measured.

    Up to `windows_per_document` windows a document, evenly spread and not overlapping, each
    inside one document and without its end-of-text token.

    Returns
    -------
    One row per window: split, component, document, start (offset of its first token in the store).

    Raises
    ------
    ErgokedroError
        If a component has no window in a held-out split.
    """
    frames = []
    for split in SPLITS[1:]:
        for label in design.components:
            documents = store.documents(split, label).select(["document", "offset", "length"])
            if params.max_documents is not None:
                documents = documents.slice(0, params.max_documents)
            frame = _document_windows(documents.to_pandas(), design.window_length, params)
            if frame.empty:
                raise ErgokedroError(
                    f"{label!r} has no {split} document of {design.window_length} tokens or more "
                    "to evaluate on. Give it more documents, hold out a larger "
                    "corpus.heldout_fraction, pin other mixture.components or shorten "
                    "mixture.window_length."
                )
            frames.append(frame.assign(split=split, component=label))
    windows = pd.concat(frames, ignore_index=True)
    _warn_of_few_documents(windows)
    return windows[["split", "component", "document", "start"]]


def _warn_of_few_documents(windows: pd.DataFrame) -> None:
    documents = windows[windows.split == "test"].groupby("component", sort=False).document.nunique()
    if len(few := documents[documents < FEW_DOCUMENTS]):
        log.warning(
            "Few test documents: %s. Intervals are over documents, and too narrow below about %d; "
            "more held-out text (corpus.heldout_fraction) helps.",
            ", ".join(f"{label} {n}" for label, n in few.items()),
            FEW_DOCUMENTS,
        )


def _document_windows(
    documents: pd.DataFrame, length: int, params: EvaluationParameters
) -> pd.DataFrame:
    """Evenly spread windows of documents given by offset and length (end-of-text included)."""
    room = documents.length.to_numpy() - 1 - length
    n = np.minimum((room + length) // length, params.windows_per_document).clip(min=0)
    row = np.repeat(np.arange(len(n)), n)
    place = np.arange(len(row)) - np.repeat(np.cumsum(n) - n, n)
    # n windows divide the room into n - 1 equal steps, each at least a window long.
    shift = room[row] * place // np.maximum(n[row] - 1, 1)
    return pd.DataFrame(
        {
            "document": documents.document.to_numpy()[row],
            "start": documents.offset.to_numpy()[row] + shift,
        }
    )


def windows_fingerprint(windows: pd.DataFrame) -> str:
    """Hash of the evaluation windows, in their order."""
    digest = xxhash.xxh3_128()
    for column in ("split", "component"):
        digest.update("\n".join(windows[column]).encode())
    for column in ("document", "start"):
        digest.update(windows[column].to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()
