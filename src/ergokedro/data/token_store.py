"""The token store: tokens in one memory-mapped file, with an Arrow index and checksums.

Layout of a store directory::

    tokens.bin   little-endian uint16 (format 1) or uint32 (format 2); concatenated documents, each
                 ended by the end-of-text id, sorted by (split, label), in a seeded order within
    index.arrow  one row per document: document, split, label, offset, length, content_hash
    store.json   canonical JSON: sizes, vocabulary, fingerprints, checksums of the other two

A category's text of one split is therefore one contiguous range of tokens, and a prefix of it a
random sample of documents.
"""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash

from ergokedro.errors import ErgokedroError
from ergokedro.files import canonical_json, fingerprint

if TYPE_CHECKING:
    import pandas as pd

TOKENS, INDEX, SIDECAR = "tokens.bin", "index.arrow", "store.json"
CHECKSUM_BYTES = 64 * 2**20
_READ_BYTES = 2**18
# The type of the tokens, by the store's format.
_TOKEN_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<u2"), 2: np.dtype("<u4")}
# Id 65,535 itself is never stored as uint16.
_UINT16_IDS = 65_535
INDEX_SCHEMA = pa.schema(
    [
        ("document", pa.int64()),
        ("split", pa.string()),
        ("label", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("content_hash", pa.string()),
    ]
)
INDEX_COLUMNS = INDEX_SCHEMA.names
_REBUILD = "rebuild it with `kedro run --pipelines data_processing`"


def store_format(vocab_size: int) -> int:
    """The format of a store with this many token ids: 1 for up to 65,535, else 2."""
    return 1 if vocab_size <= _UINT16_IDS else 2


def token_dtype(vocab_size: int) -> np.dtype:
    """The type of a store's tokens: little-endian uint16 for up to 65,535 ids, else uint32."""
    return _TOKEN_DTYPES[store_format(vocab_size)]


class TokenStore:
    """A store on disk; a light handle that pickles as its path and maps the tokens on first use.

    Attributes
    ----------
    labels : category names.
    vocab_size, end_of_text : of the tokenizer.
    dtype : of the tokens, uint16 or uint32.
    fingerprint : of the whole store, tokens included.
    meta : the sidecar.
    """

    def __init__(self, path: str | Path):
        """Open without reading the tokens; :func:`open_store` also checks them."""
        self.path = Path(path)
        raw = _read_sidecar(self.path)
        self.meta: dict[str, Any] = raw
        self.labels: list[str] = raw["labels"]
        self.vocab_size: int = raw["vocab_size"]
        self.end_of_text: int = raw["end_of_text"]
        self.fingerprint: str = raw["fingerprint"]
        self.n_tokens: int = raw["n_tokens"]
        self.dtype = _TOKEN_DTYPES[raw["format"]]

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenStore, (self.path,)

    def __repr__(self) -> str:
        return f"TokenStore({self.path}: {self.n_tokens:,} tokens of {', '.join(self.labels)})"

    @cached_property
    def tokens(self) -> np.ndarray:
        """All tokens, `dtype` (n_tokens,), mapped and read-only."""
        return np.memmap(self.path / TOKENS, dtype=self.dtype, mode="r", shape=(self.n_tokens,))

    @cached_property
    def index(self) -> pa.Table:
        """One row per document, in the order of the tokens."""
        with pa.memory_map(str(self.path / INDEX)) as source:
            return pa.ipc.open_file(source).read_all()

    def documents(self, split: str, label: str) -> pa.Table:
        """The index rows of one category and split: one contiguous run."""
        start, stop = self._ranges.get((split, label), (0, 0))
        return self.index.slice(start, stop - start)

    def span(self, split: str, label: str) -> tuple[int, int]:
        """First token and end (exclusive) of one category and split; (0, 0) if it has none."""
        rows = self.documents(split, label)
        if rows.num_rows == 0:
            return 0, 0
        last = rows.num_rows - 1
        stop = rows["offset"][last].as_py() + rows["length"][last].as_py()
        return rows["offset"][0].as_py(), stop

    @cached_property
    def _ranges(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Index rows [start, stop) of every (split, label)."""
        splits = self.index["split"].to_numpy(zero_copy_only=False)
        labels = self.index["label"].to_numpy(zero_copy_only=False)
        change = (splits[1:] != splits[:-1]) | (labels[1:] != labels[:-1])
        borders = [0, *(np.flatnonzero(change) + 1).tolist(), len(splits)]
        return {(splits[a], labels[a]): (a, b) for a, b in pairwise(borders) if b > a}


def open_store(path: str | Path) -> TokenStore:
    """Open a store and check every byte of it against its checksums.

    A store that has not changed since this process last checked it is not read again.

    Raises
    ------
    ErgokedroError
        If it is missing, incomplete, of another format or damaged.
    """
    store = TokenStore(path)
    files = [store.path / name for name in (TOKENS, INDEX, SIDECAR)]
    try:
        state = tuple((f.stat().st_size, f.stat().st_mtime_ns, f.stat().st_ino) for f in files)
    except OSError as error:
        raise ErgokedroError(
            f"The token store {path} is incomplete ({error}); {_REBUILD}."
        ) from error
    _verify(str(store.path), state)
    return store


@lru_cache(maxsize=16)
def _verify(path: str, _state: tuple[Any, ...]) -> None:
    meta = _read_sidecar(Path(path))
    for name in (TOKENS, INDEX):
        if block_checksums(Path(path) / name) != meta["checksums"][name]:
            raise ErgokedroError(
                f"The token store {path} is damaged: {name} does not match its checksums; "
                f"{_REBUILD}."
            )


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        raw = (path / SIDECAR).read_bytes()
    except OSError as error:
        raise ErgokedroError(f"There is no token store in {path}; {_REBUILD}.") from error
    try:
        meta = json.loads(raw)
        if meta["format"] not in _TOKEN_DTYPES:
            known = " and ".join(map(str, _TOKEN_DTYPES))
            raise ErgokedroError(
                f"The token store {path} has format {meta['format']!r}, this version reads "
                f"{known}; {_REBUILD}."
            )
        content = {key: value for key, value in meta.items() if key != "fingerprint"}
        intact = meta["fingerprint"] == fingerprint(content) and raw == canonical_json(meta)
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise ErgokedroError(f"The token store {path} is damaged: {SIDECAR}; {_REBUILD}.")
    return meta


def seal_store(directory: Path, index: pd.DataFrame, meta: dict[str, Any]) -> None:
    """Complete a store whose `tokens.bin` is written: add the index and the sidecar.

    Parameters
    ----------
    index : columns INDEX_COLUMNS, one row per document in the order of the tokens.
    meta : labels, vocab_size, end_of_text, inputs (fingerprints), corpus and cleaning.
    """
    table = pa.Table.from_pandas(index, schema=INDEX_SCHEMA, preserve_index=False)
    with (
        pa.OSFile(str(directory / INDEX), "wb") as sink,
        pa.ipc.new_file(sink, INDEX_SCHEMA) as out,
    ):
        out.write_table(table.replace_schema_metadata(None))
    content = {
        **meta,
        **_describe_tokens(meta["vocab_size"]),
        "n_documents": len(index),
        "n_tokens": int(index["length"].sum()),
        "checksums": {name: block_checksums(directory / name) for name in (TOKENS, INDEX)},
    }
    sealed = {**content, "fingerprint": fingerprint(content)}
    (directory / SIDECAR).write_bytes(canonical_json(sealed))


def _describe_tokens(vocab_size: int) -> dict[str, Any]:
    """The keys of the sidecar that say how tokens are stored; format 1 is always uint16."""
    dtype, number = token_dtype(vocab_size), store_format(vocab_size)
    return {"format": number} if number == 1 else {"format": number, "dtype": dtype.str}


def block_checksums(path: Path) -> list[str]:
    """128-bit XXH3 of every 64 MiB of a file."""
    sums: list[str] = []
    # Read through a small buffer that stays in the processor's cache.
    buffer = memoryview(bytearray(_READ_BYTES))
    with path.open("rb", buffering=0) as file:
        while True:
            digest, n_bytes = xxhash.xxh3_128(), 0
            while n_bytes < CHECKSUM_BYTES and (n := file.readinto(buffer)):
                digest.update(buffer[:n])
                n_bytes += n
            if n_bytes == 0:
                return sums
            sums.append(digest.hexdigest())
