"""The store on disk: handles, checksums, refusal of anything damaged."""

from __future__ import annotations

import pickle
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import StoreMaker
from ergokedro.data.token_store import INDEX, SIDECAR, TOKENS, TokenStore, open_store
from ergokedro.errors import ErgokedroError

LENGTHS = {("train", "a"): [5, 7], ("train", "b"): [4], ("test", "a"): [9], ("test", "b"): [3]}


def test_spans_are_contiguous_and_complete(make_store: StoreMaker) -> None:
    store = make_store(LENGTHS)
    assert store.span("train", "a") == (0, 12)
    assert store.span("train", "b") == (12, 16)
    assert store.span("test", "b") == (25, 28)
    assert store.span("validation", "a") == (0, 0)
    assert store.documents("train", "a")["length"].to_pylist() == [5, 7]
    assert store.n_tokens == 28


def test_tokens_are_mapped_and_read_only(make_store: StoreMaker) -> None:
    tokens = make_store(LENGTHS).tokens
    assert isinstance(tokens, np.memmap)
    assert tokens.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


def test_a_handle_pickles_as_its_path(make_store: StoreMaker) -> None:
    store = make_store({("train", "a"): [50_000], ("test", "a"): [10]})
    assert store.tokens.sum() > 0
    data = pickle.dumps(store)
    assert len(data) < 500
    assert pickle.loads(data).fingerprint == store.fingerprint


def test_any_changed_byte_is_found(make_store: StoreMaker) -> None:
    store = make_store(LENGTHS)
    rng = random.Random(0)
    files = [store.path / name for name in (TOKENS, INDEX, SIDECAR)]
    for file in files:
        original = file.read_bytes()
        for _ in range(60):
            damaged = bytearray(original)
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
            file.write_bytes(damaged)
            with pytest.raises(ErgokedroError, match="kedro run --pipelines data_processing"):
                open_store(store.path)
        file.write_bytes(original)
    open_store(store.path)


@pytest.mark.parametrize("name", [TOKENS, INDEX, SIDECAR])
def test_missing_and_truncated_files_are_found(make_store: StoreMaker, name: str) -> None:
    file = make_store(LENGTHS).path / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ErgokedroError, match="damaged"):
        open_store(file.parent)
    file.unlink()
    with pytest.raises(ErgokedroError, match="kedro run --pipelines data_processing"):
        open_store(file.parent)


def test_another_format_is_refused(make_store: StoreMaker) -> None:
    file = make_store(LENGTHS).path / SIDECAR
    file.write_text(file.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ErgokedroError, match=r"format 99.*reads 1 and 2"):
        TokenStore(file.parent)


def test_fingerprint_depends_on_the_content_alone(make_store: StoreMaker, tmp_path: Path) -> None:
    store = make_store(LENGTHS)
    assert make_store(LENGTHS).fingerprint == store.fingerprint
    copy = shutil.copytree(store.path, tmp_path / "copy")
    assert open_store(copy).fingerprint == store.fingerprint
    assert make_store({**LENGTHS, ("test", "b"): [4]}).fingerprint != store.fingerprint
