"""The cached corpus on disk: one Parquet file per split and a JSON sidecar."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from ergokedro.data.documents import SCHEMA
from ergokedro.data.sidecar import read_sidecar
from ergokedro.data.sources import CorpusStream
from ergokedro.data.splits import SPLITS
from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_directory, canonical_json

log = logging.getLogger(__name__)

# Bounds of a row group, the unit of reading, tokenizing and resuming.
BLOCK_ROWS = 1024
BLOCK_BYTES = 16 * 2**20
_SIDECAR = "corpus.json"


class Corpus:
    """A cached corpus; a light handle that pickles as its path.

    Attributes
    ----------
    labels : category names.
    rows : documents per split.
    fingerprint : hash of every text and label in order.
    provenance : the source's key and resolved revision.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        meta = read_sidecar(self.path / _SIDECAR, "corpus")
        self.labels: list[str] = meta["labels"]
        self.rows: dict[str, int] = meta["rows"]
        self.fingerprint: str = meta["fingerprint"]
        self.provenance: dict[str, Any] = meta["provenance"]
        self._files: dict[str, pq.ParquetFile] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Corpus, (self.path,)

    def __repr__(self) -> str:
        return f"Corpus({self.path}: {self.rows}, labels {', '.join(self.labels)})"

    def blocks(self) -> list[tuple[str, int]]:
        """All (split, row group) pairs in order."""
        return [
            (split, group)
            for split in SPLITS
            for group in range(self._file(split).metadata.num_row_groups)
        ]

    @property
    def size(self) -> int:
        """Bytes of texts and labels, uncompressed."""
        blocks = (self._file(split).metadata.row_group(group) for split, group in self.blocks())
        return sum(int(block.total_byte_size) for block in blocks)

    def block_rows(self, split: str, group: int) -> int:
        """Documents of one row group."""
        return int(self._file(split).metadata.row_group(group).num_rows)

    def read_block(self, split: str, group: int) -> pa.Table:
        """One row group: columns text (large_string, null if missing) and label."""
        return self._file(split).read_row_group(group, columns=["text", "label"])

    def texts(self, documents: Iterable[int]) -> Iterator[tuple[int, str]]:
        """The texts of documents, by their numbers over all splits, ascending."""
        wanted, first = sorted(documents), 0
        for block in self.blocks():
            stop = first + self.block_rows(*block)
            rows = wanted[bisect_left(wanted, first) : bisect_left(wanted, stop)]
            if rows:
                texts = self.read_block(*block)["text"]
                yield from ((number, texts[number - first].as_py() or "") for number in rows)
            first = stop

    def _file(self, split: str) -> pq.ParquetFile:
        # Opened once: reading the footer of a large file takes longer than reading a block.
        if split not in self._files:
            self._files[split] = pq.ParquetFile(self.path / f"{split}.parquet")
        return self._files[split]


def write_corpus(path: Path, stream: CorpusStream) -> Corpus:
    """Read `stream` into `path`, unless `path` holds a corpus with the same key."""
    try:
        cached = Corpus(path)
        if cached.provenance["key"] == stream.key:
            log.info("Using the cached corpus in %s (delete it to read the source again)", path)
            return cached
    except ErgokedroError:
        pass  # there is no usable corpus: read the source
    opened = stream.open()
    with atomic_directory(Path(path)) as work:
        rows, seen, digest = _write_splits(work, opened.batches)
        _check(rows, seen)
        labels = [*opened.labels, *sorted(seen - set(opened.labels))]
        meta = {
            "labels": labels,
            "rows": rows,
            "fingerprint": digest,
            "provenance": {"key": stream.key, "revision": opened.revision},
        }
        (work / _SIDECAR).write_bytes(canonical_json(meta))
    source = stream.key.get("source", "a stream")
    log.info("Corpus: %s documents of %s in %s", sum(rows.values()), source, path)
    return Corpus(path)


def _check(rows: dict[str, int], labels: set[str]) -> None:
    if not any(rows.values()):
        raise ErgokedroError("corpus.source holds no document: its files are empty.")
    if len(labels) < 2:
        raise ErgokedroError(
            f"The corpus has the labels {sorted(labels)}; comparing components needs at least "
            "two. Check corpus.label_column."
        )


def _write_splits(
    work: Path, batches: Iterator[tuple[str, pa.RecordBatch]]
) -> tuple[dict[str, int], set[str], str]:
    """Write the Parquet files; return documents per split, labels and the content hash."""
    rows = dict.fromkeys(SPLITS, 0)
    seen: set[str] = set()
    with ThreadPoolExecutor(1) as pool:  # which compresses one block while the next is read
        writers = {split: _BlockWriter(work / f"{split}.parquet", pool) for split in SPLITS}
        try:
            for split, batch in batches:
                rows[split] += batch.num_rows
                seen.update(label for label in batch["label"].unique().to_pylist() if label)
                writers[split].add(batch)
        finally:
            for writer in writers.values():
                writer.close()
    whole = b"".join(writers[split].digest.digest() for split in SPLITS)
    return rows, seen, xxhash.xxh3_128_hexdigest(whole)


class _BlockWriter:
    """Gathers batches into row groups whose borders depend on the content alone.

    Attributes
    ----------
    digest : 128-bit XXH3 of the documents written so far.
    """

    def __init__(self, path: Path, pool: ThreadPoolExecutor):
        self.digest = xxhash.xxh3_128()
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=["label"])
        self._pool = pool
        self._written = pool.submit(lambda: None)
        self._pending: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        lengths = _text_lengths(batch)
        start = 0
        for row, length in enumerate(lengths):
            full = self._rows == BLOCK_ROWS or self._bytes + length > BLOCK_BYTES
            if full and self._rows:
                self._pending.append(batch.slice(start, row - start))
                self._flush()
                start = row
            self._rows += 1
            self._bytes += int(length)
        self._pending.append(batch.slice(start))

    def _flush(self) -> None:
        table = pa.Table.from_batches(self._pending, SCHEMA).combine_chunks()
        columns = (table["text"].cast(pa.large_binary()), table["label"].cast(pa.binary()))
        for document in zip(*(column.to_pylist() for column in columns), strict=True):
            for value in document:
                data = b"\xff" if value is None else value
                self.digest.update(len(data).to_bytes(8, "little"))
                self.digest.update(data)
        self._written.result()  # raises an error of the writer, such as a full disk
        self._written = self._pool.submit(
            self._writer.write_table, table, row_group_size=max(1, table.num_rows)
        )
        self._pending, self._rows, self._bytes = [], 0, 0

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._written.result()
        self._writer.close()


def _text_lengths(batch: pa.RecordBatch) -> np.ndarray:
    """UTF-8 bytes of every text, 0 where it is missing."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.binary_length(batch["text"]), 0).to_numpy(zero_copy_only=False)
