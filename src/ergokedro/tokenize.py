"""From cached text to a token store: encode block by block, then sort the documents.

Every finished block is kept in `<store>.blocks`, so interrupted work goes on where it stopped.
No step holds the text or the tokens of more than one block in memory.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import xxhash

from ergokedro.cleaning import KEPT
from ergokedro.corpus.cache import Corpus
from ergokedro.corpus.sources import SPLITS
from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_directory, fingerprint, write_atomic
from ergokedro.progress import progress_bar
from ergokedro.store import (
    FORMAT,
    INDEX_COLUMNS,
    TOKEN_DTYPE,
    TOKENS,
    TokenStore,
    open_store,
    seal_store,
)
from ergokedro.tokenizer import Tokenizer

log = logging.getLogger(__name__)

# Documents a call of the encoder: enough to share between its threads, bounded memory.
_CALL_DOCUMENTS = 256


@dataclass(frozen=True)
class TokenizationPlan:
    """What a store is made from; nothing is read before :func:`write_store`."""

    corpus: Corpus
    documents: pd.DataFrame
    tokenizer: Tokenizer
    order_seed: int

    def inputs(self) -> dict[str, Any]:
        """Everything that decides the store's content."""
        status = "\n".join(self.documents.status).encode()
        return {
            "format": FORMAT,
            "corpus": self.corpus.fingerprint,
            "tokenizer": self.tokenizer.fingerprint,
            "cleaning": xxhash.xxh3_128_hexdigest(status),
            "order_seed": self.order_seed,
        }


def write_store(path: Path, plan: TokenizationPlan) -> TokenStore:
    """Tokenize and write the store to `path`, unless one from the same inputs is there.

    Killed at any moment, `path` holds what it held before, and the next call goes on from the
    last finished block.
    """
    path = Path(path)
    blocks = path.with_name(path.name + ".blocks")
    try:
        store = open_store(path)
        if store.meta["inputs"] == plan.inputs():
            log.info("The token store in %s is up to date", path)
            shutil.rmtree(blocks, ignore_errors=True)  # left by a kill after the last rename
            return store
    except ErgokedroError:
        pass  # nothing usable there: write it
    lengths = _encode_blocks(blocks, plan)
    with atomic_directory(path) as work:
        index = _index(plan, lengths)
        _write_tokens(work / TOKENS, blocks, plan, index, lengths)
        seal_store(work, index, _meta(plan, lengths))
    shutil.rmtree(blocks)
    store = open_store(path)
    log.info("Token store: %s tokens in %s", f"{store.n_tokens:,}", path)
    return store


def _encode_blocks(directory: Path, plan: TokenizationPlan) -> np.ndarray:
    """Encode all blocks that are not there yet; give every document's tokens (int64)."""
    key = fingerprint(plan.inputs())
    marker = directory / "inputs"
    if not marker.exists() or marker.read_text() != key:
        shutil.rmtree(directory, ignore_errors=True)
        write_atomic(marker, key.encode())
    lengths: list[np.ndarray] = []
    with progress_bar("tokenize", total=len(plan.documents), unit="documents") as bar:
        for number, (split, group) in enumerate(plan.corpus.blocks()):
            file = directory / f"{number:06d}.block"
            if not file.exists():
                _encode_block(file, plan.corpus.read_block(split, group), plan.tokenizer)
            lengths.append(_block(file)[1])
            bar.update(len(lengths[-1]))
    return np.concatenate(lengths)


def _encode_block(file: Path, block: pa.Table, tokenizer: Tokenizer) -> None:
    """Write one block: [documents, lengths of 2 uint16 each, tokens]; a null text has no token."""
    parts: list[np.ndarray] = []
    texts = ["" if text is None else text for text in block["text"].to_pylist()]
    for start in range(0, len(texts), _CALL_DOCUMENTS):
        parts.extend(tokenizer.encode(texts[start : start + _CALL_DOCUMENTS]))
    lengths = np.array([len(part) for part in parts], dtype="<u4")
    header = np.array([len(parts)], dtype="<u4")
    tokens = np.concatenate(parts).astype(TOKEN_DTYPE)
    write_atomic(file, header.tobytes() + lengths.tobytes() + tokens.tobytes())


def _block(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (mapped uint16) and document lengths (int64) of a finished block."""
    raw = np.memmap(file, dtype=TOKEN_DTYPE, mode="r")
    n = int(raw[:2].view("<u4")[0])
    lengths = raw[2 : 2 + 2 * n].view("<u4").astype(np.int64)
    return raw[2 + 2 * n :], lengths


def _index(plan: TokenizationPlan, lengths: np.ndarray) -> pd.DataFrame:
    """The kept documents in the order of the store, with offsets; the end token is counted."""
    kept = plan.documents[plan.documents.status == KEPT].copy()
    kept["length"] = lengths[kept.document] + 1
    low = np.frombuffer(bytes.fromhex("".join(kept.content_hash)), dtype=">u8")[1::2]
    kept["_order"] = _mix(low, plan.order_seed)
    kept["_split"] = kept.split.map({split: i for i, split in enumerate(SPLITS)})
    kept["_label"] = kept.label.map({label: i for i, label in enumerate(plan.corpus.labels)})
    kept = kept.sort_values(["_split", "_label", "_order", "document"], ignore_index=True)
    kept["offset"] = np.cumsum(kept.length) - kept.length
    return kept[INDEX_COLUMNS]


def _mix(hashes: np.ndarray, seed: int) -> np.ndarray:
    """A seeded pseudo-random key per content hash (the finaliser of SplitMix64), so that a
    document's place among others does not depend on what else the corpus holds."""
    offset = np.uint64(xxhash.xxh3_64_intdigest(seed.to_bytes(8, "little")))
    z = hashes.astype(np.uint64) ^ offset
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _write_tokens(
    file: Path, blocks: Path, plan: TokenizationPlan, index: pd.DataFrame, lengths: np.ndarray
) -> None:
    """Copy every kept document from its block to its place, one block after the other."""
    n_tokens = int(index.length.sum())
    if n_tokens == 0:
        raise ErgokedroError("Cleaning left no document at all; nothing can be trained on.")
    out = np.memmap(file, dtype=TOKEN_DTYPE, mode="w+", shape=(n_tokens,))
    target = np.full(len(lengths), -1, dtype=np.int64)
    target[index.document] = index.offset
    first = 0
    for number in range(len(plan.corpus.blocks())):
        tokens, sizes = _block(blocks / f"{number:06d}.block")
        stops = np.cumsum(sizes)
        places = target[first : first + len(sizes)]
        for start, stop, place in zip(stops - sizes, stops, places, strict=True):
            if place >= 0:
                out[place : place + stop - start] = tokens[start:stop]
        first += len(sizes)
    out[(index.offset + index.length - 1).to_numpy()] = plan.tokenizer.end_of_text
    out.flush()


def _meta(plan: TokenizationPlan, lengths: np.ndarray) -> dict[str, Any]:
    """The part of the sidecar that tells where the tokens come from."""
    by = ["split", "label", "status"]
    counts = (
        plan.documents.assign(length=lengths)
        .groupby(by, dropna=False)
        .agg(documents=("length", "size"), tokens=("length", "sum"))
        .reset_index()
    )
    return {
        "labels": plan.corpus.labels,
        "vocab_size": plan.tokenizer.vocab_size,
        "end_of_text": plan.tokenizer.end_of_text,
        "inputs": plan.inputs(),
        "corpus": plan.corpus.provenance,
        "cleaning": [
            {
                "split": row.split,
                "label": row.label if isinstance(row.label, str) else None,
                "status": row.status,
                "documents": int(row.documents),
                "tokens": int(row.tokens),
            }
            for row in counts.itertuples()
        ],
    }
