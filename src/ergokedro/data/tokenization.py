"""From cached text to a token store: encode block by block, then sort the documents.

Every finished block is kept in `<store>.blocks`, so interrupted work resumes from the last one.
No step holds the text or the tokens of more than one block in memory.
"""

from __future__ import annotations

import logging
import mmap
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xxhash

from ergokedro.data.block_encoder import Block, BlockEncoder, split_block
from ergokedro.data.cleaning import KEPT
from ergokedro.data.corpus import Corpus
from ergokedro.data.processes import MapTasks, map_in_processes, map_in_thread
from ergokedro.data.sampling import within_limit
from ergokedro.data.splits import SPLITS
from ergokedro.data.token_store import (
    INDEX_COLUMNS,
    TOKENS,
    TokenStore,
    open_store,
    seal_store,
    store_format,
    token_dtype,
)
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_directory, fingerprint, reserve, write_atomic
from ergokedro.progress import progress_bar

log = logging.getLogger(__name__)

# Size of the sample that an encoder is tested on: blocks, documents per block, and characters in
# all, of which the slowest encoder takes a few million per second.
_SAMPLE_BLOCKS, _SAMPLE_DOCUMENTS, _SAMPLE_CHARACTERS = 8, 8, 400_000
# Tokens looked at together when a store is checked.
_CHECK_TOKENS = 2**24
# Shares of unknown tokens, or of documents without tokens, that are a warning and an error.
_WARNED_SHARE, _LARGEST_SHARE = 0.1, 0.5
# Blocks after which the mapped pages of the store are released; every document touches one or more.
_RELEASE_BLOCKS = 16
# So many blocks are encoded before other processes have started.
_FEW_BLOCKS = 8


@dataclass(frozen=True)
class TokenizationPlan:
    """What a store is made from. Nothing is read before :func:`write_store`."""

    corpus: Corpus
    documents: pd.DataFrame
    tokenizer: Tokenizer
    order_seed: int
    max_tokens: int | None = None
    processes: int = 1

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Everything that decides the store's content."""
        status = "\n".join(self.documents.status.to_list()).encode()
        limit = {} if self.max_tokens is None else {"max_tokens": self.max_tokens}
        return {
            "format": store_format(self.tokenizer.vocab_size),
            "corpus": self.corpus.fingerprint,
            "tokenizer": self.tokenizer.fingerprint,
            "cleaning": xxhash.xxh3_128_hexdigest(status),
            "order_seed": self.order_seed,
            **limit,
        }


def write_store(
    path: Path, plan: TokenizationPlan, map_tasks: MapTasks = map_in_processes
) -> TokenStore:
    """Tokenize and write the store to `path`, unless it holds one from the same inputs.

    After a kill at any moment `path` holds what it held before, and the next call resumes from
    the last finished block.

    Parameters
    ----------
    map_tasks : what encodes blocks where `plan.processes` is above 1 and they are many.
    """
    path = Path(path)
    blocks = path.with_name(path.name + ".blocks")
    try:
        store = open_store(path)
        if store.meta["inputs"] == plan.inputs:
            log.info("The token store in %s is up to date", path)
            shutil.rmtree(blocks, ignore_errors=True)  # left behind by a kill after the last rename
            return store
    except ErgokedroError:
        pass  # nothing usable there: write it
    lengths = _encode_blocks(blocks, plan, map_tasks)
    with atomic_directory(path) as work:
        index = _index(plan, lengths)
        _write_tokens(work / TOKENS, blocks, plan, index, lengths)
        _check_tokens(work / TOKENS, plan.tokenizer, index)
        seal_store(work, index, _meta(plan, lengths))
    shutil.rmtree(blocks)
    store = open_store(path)
    log.info("Token store: %s tokens in %s", f"{store.n_tokens:,}", path)
    return store


def _encode_blocks(directory: Path, plan: TokenizationPlan, map_tasks: MapTasks) -> np.ndarray:
    """Encode the blocks that are missing; return the number of tokens per document (int64)."""
    key = fingerprint(plan.inputs)
    marker = directory / "inputs"
    if not marker.exists() or marker.read_text("utf-8") != key:
        shutil.rmtree(directory, ignore_errors=True)
        write_atomic(marker, key.encode())
    files = _block_files(directory, plan.corpus)
    missing = [number for number, file in enumerate(files) if not file.exists()]
    if missing:
        with progress_bar("tokenize", total=len(plan.documents), unit="documents") as bar:
            bar.update(sum(len(_lengths(file)) for file in files if file.exists()))
            start, n_characters = time.monotonic(), 0
            for documents, characters in _encode_missing(directory, missing, plan, map_tasks):
                n_characters += characters
                rate = n_characters / 1e6 / (time.monotonic() - start)
                bar.update(documents, **{"MB/s": f"{rate:.0f}"})
    return np.concatenate([_lengths(file) for file in files])


def _encode_missing(
    directory: Path, missing: list[int], plan: TokenizationPlan, map_tasks: MapTasks
) -> Iterator[tuple[int, int]]:
    """Encode blocks; meanwhile the next ones are read and the previous one written.

    Yields
    ------
    Documents and characters of every block.
    """
    encode = BlockEncoder(plan.tokenizer, _sample(plan.corpus))
    blocks = _read_blocks(plan.corpus, missing)
    if plan.processes == 1 or len(missing) <= _FEW_BLOCKS:
        encoded = map_in_thread(encode, blocks)
    else:
        encoded = map_tasks(encode, blocks, plan.processes)
    with ThreadPoolExecutor(1) as writer:
        written = writer.submit(lambda: None)
        for block in encoded:
            written.result()  # raises an error of the writer, such as a full disk
            file = _block_file(directory, block.number)
            written = writer.submit(write_atomic, file, block.content)
            yield block.documents, block.characters
        written.result()


def _read_blocks(corpus: Corpus, numbers: list[int]) -> Iterator[Block]:
    blocks = corpus.blocks()
    rows = [corpus.block_rows(*block) for block in blocks]
    first = np.cumsum(rows) - rows
    for number in numbers:
        texts: list[str | None] = corpus.read_block(*blocks[number])["text"].to_pylist()
        known = ["" if text is None else text for text in texts]
        yield Block(number, int(first[number]), known)


def _sample(corpus: Corpus) -> list[str]:
    """Texts from all parts of the corpus, to test an encoder on."""
    blocks = corpus.blocks()
    numbers = np.unique(np.linspace(0, len(blocks) - 1, _SAMPLE_BLOCKS).round().astype(int))
    tables = [corpus.read_block(*blocks[number])["text"] for number in numbers]
    texts = [
        text
        for table in tables
        for text in table[:: max(1, len(table) // _SAMPLE_DOCUMENTS)].to_pylist()
        if text
    ]
    share = _SAMPLE_CHARACTERS // max(1, len(texts))
    return [text[:share] for text in texts]


def _block_files(directory: Path, corpus: Corpus) -> list[Path]:
    return [_block_file(directory, number) for number in range(len(corpus.blocks()))]


def _block_file(directory: Path, number: int) -> Path:
    return directory / f"{number:06d}.block"


def _lengths(file: Path) -> np.ndarray:
    """Tokens of each document of a finished block, int64."""
    return split_block(file)[0].astype(np.int64)


def _index(plan: TokenizationPlan, lengths: np.ndarray) -> pd.DataFrame:
    """The kept documents in the order of the store, with offsets; the end token is counted."""
    kept = plan.documents[plan.documents.status == KEPT].copy()
    kept["length"] = lengths[kept.document] + 1
    if plan.max_tokens is not None:
        kept = kept[within_limit(kept, plan.max_tokens)].copy()
    low = np.frombuffer(bytes.fromhex("".join(kept.content_hash.to_list())), dtype=">u8")[1::2]
    kept["_order"] = _mix(low, plan.order_seed)
    kept["_split"] = kept.split.map({split: i for i, split in enumerate(SPLITS)})
    kept["_label"] = kept.label.map({label: i for i, label in enumerate(plan.corpus.labels)})
    kept = kept.sort_values(["_split", "_label", "_order", "document"], ignore_index=True)
    kept["offset"] = np.cumsum(kept.length) - kept.length
    return kept[INDEX_COLUMNS]


def _mix(hashes: np.ndarray, seed: int) -> np.ndarray:
    """A seeded pseudo-random key per content hash (the finaliser of SplitMix64), so that a
    document's position relative to another does not depend on the rest of the corpus."""
    offset = np.uint64(xxhash.xxh3_64_intdigest(seed.to_bytes(8, "little")))
    z = hashes.astype(np.uint64) ^ offset
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _write_tokens(
    file: Path, blocks: Path, plan: TokenizationPlan, index: pd.DataFrame, lengths: np.ndarray
) -> None:
    """Copy every kept document from its block to its offset, one block after another."""
    n_tokens, dtype = int(index.length.sum()), token_dtype(plan.tokenizer.vocab_size)
    if n_tokens == 0:
        raise ErgokedroError("Cleaning left no document at all; nothing can be trained on.")
    with file.open("wb+") as opened:
        reserve(opened, n_tokens * dtype.itemsize)
        mapped = mmap.mmap(opened.fileno(), 0)
    # A memory view copies short slices faster than numpy does.
    out: Any = memoryview(mapped).cast("H" if dtype.itemsize == 2 else "I")
    end_of_text = plan.tokenizer.end_of_text
    target = np.full(len(lengths), -1, dtype=np.int64)
    target[index.document] = index.offset
    first = 0
    for number, block in enumerate(_block_files(blocks, plan.corpus)):
        sizes, tokens = split_block(block)
        source = memoryview(tokens.view(dtype))  # type: ignore[arg-type]  # arrays are buffers
        offsets = target[first : first + len(sizes)].tolist()
        start = 0
        for size, offset in zip(sizes.tolist(), offsets, strict=True):
            if offset >= 0:
                out[offset : offset + size] = source[start : start + size]
                out[offset + size] = end_of_text
            start += size
        first += len(sizes)
        if number % _RELEASE_BLOCKS == 0 and hasattr(mmap, "MADV_DONTNEED"):
            # The system's page cache writes the pages to disk; they need not stay mapped.
            mapped.madvise(mmap.MADV_DONTNEED)
    mapped.flush()


def _check_tokens(file: Path, tokenizer: Tokenizer, index: pd.DataFrame) -> None:
    """Read the tokens once more: documents end as they should, and the tokenizer knows the text."""
    tokens = np.memmap(file, dtype=token_dtype(tokenizer.vocab_size), mode="r")
    ends = unknown = 0
    for start in range(0, len(tokens), _CHECK_TOKENS):
        chunk = tokens[start : start + _CHECK_TOKENS]
        ends += int(np.count_nonzero(chunk == tokenizer.end_of_text))
        if tokenizer.unknown is not None:
            unknown += int(np.count_nonzero(chunk == tokenizer.unknown))
    if ends != len(index):
        raise ErgokedroError(
            f"The token store would hold {ends:,} end-of-text tokens for {len(index):,} documents. "
            f"This is a defect of ergokedro with tokenizer.source = {tokenizer.source!r}; please "
            "report it, and choose another tokenizer."
        )
    _check_share("tokens are the unknown token", unknown / max(1, len(tokens) - ends), tokenizer)
    empty = (index.length == 1).mean()
    _check_share("documents have no token", float(empty), tokenizer)


def _check_share(what: str, share: float, tokenizer: Tokenizer) -> None:
    """Warn, or raise, where a tokenizer does not fit the text."""
    if share < _WARNED_SHARE:
        return
    message = f"tokenizer.source = {tokenizer.source!r}: {share:.1%} of the {what}"
    if share >= _LARGEST_SHARE:
        raise ErgokedroError(
            f"{message}. Most of the text would be lost; choose a tokenizer that was made for it, "
            "or 'trained'."
        )
    log.warning("%s; cross entropy says little about what is lost", message)


def _meta(plan: TokenizationPlan, lengths: np.ndarray) -> dict[str, Any]:
    """The part of the sidecar that says where the tokens come from."""
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
        "inputs": plan.inputs,
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
