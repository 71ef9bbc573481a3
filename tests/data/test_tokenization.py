"""Tokenizers, and from text to the store: nothing lost, order seeded, interruptions kept."""

from __future__ import annotations

import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ergokedro.data import block_encoder, tokenization
from ergokedro.data import corpus as corpus_cache
from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.encoder import reference_encoder
from ergokedro.data.sources import corpus_stream
from ergokedro.data.token_store import TokenStore, open_store
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import (
    Tokenizer,
    TokenizerDefinition,
    define_tokenizer,
    load_pretrained,
    save_tokenizer,
    train_bpe,
)
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters, SyntheticParameters, TokenizerParameters
from warm import CONTEXT

SMALL = SyntheticParameters(
    components=3, words_per_document=40, train_documents=30, heldout_documents=8
)
PIECES = ["plain text", "", " \x00\x1f\x7f control", "emoji 🎉 and Ωμέγα", "<|endoftext|> inside"]


def make_plan(path: Path, *, order_seed: int = 0) -> TokenizationPlan:
    """A small synthetic corpus with a tokenizer trained on it."""
    params = CorpusParameters(synthetic=SMALL)
    corpus = write_corpus(path / "corpus", corpus_stream(params))
    documents = clean_documents(corpus)
    definition = define_tokenizer(TokenizerParameters(), corpus, documents)
    tokenizer = save_tokenizer(path / "tokenizer", definition)
    return TokenizationPlan(corpus, documents, tokenizer, order_seed)


def texts_of(corpus: Corpus) -> list[str]:
    return [t for b in corpus.blocks() for t in corpus.read_block(*b)["text"].to_pylist()]


def documents_of(store: TokenStore) -> dict[int, np.ndarray]:
    index = store.index.to_pandas()
    return {
        row.document: store.tokens[row.offset : row.offset + row.length]
        for row in index.itertuples()
    }


def test_every_document_is_stored_once_and_ends_in_end_of_text(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    store = write_store(tmp_path / "store", plan)
    stored = documents_of(store)
    texts = texts_of(plan.corpus)
    assert sorted(stored) == list(range(len(texts)))
    for number, text in enumerate(texts):
        assert plan.tokenizer.decode(stored[number][:-1]).strip() == text
        assert stored[number][-1] == plan.tokenizer.end_of_text
    assert (store.tokens == plan.tokenizer.end_of_text).sum() == len(texts)
    index = store.index.to_pandas()
    assert (index.offset == index.length.cumsum() - index.length).all()
    order = index[["split", "label"]].drop_duplicates()
    assert order.split.to_list() == ["train"] * 3 + ["validation"] * 3 + ["test"] * 3
    assert order.label.to_list() == plan.corpus.labels * 3


def test_a_synthetic_word_is_one_token(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    store = write_store(tmp_path / "store", plan)
    lengths = store.index["length"].to_numpy()
    assert (lengths == SMALL.words_per_document + 1).all()


def test_documents_are_in_a_seeded_order(tmp_path: Path) -> None:
    first = write_store(tmp_path / "one", make_plan(tmp_path))
    other = write_store(tmp_path / "two", make_plan(tmp_path, order_seed=1))
    order = first.documents("train", "source-1")["document"].to_pylist()
    assert order != sorted(order)
    assert order != other.documents("train", "source-1")["document"].to_pylist()
    assert sorted(order) == sorted(other.documents("train", "source-1")["document"].to_pylist())


def test_equal_inputs_give_equal_bytes_and_are_not_tokenized_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path)
    one = write_store(tmp_path / "one", plan)
    two = write_store(tmp_path / "two", plan)
    for name in os.listdir(one.path):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()
    monkeypatch.setattr(tokenization, "_encode_blocks", pytest.fail)
    assert write_store(tmp_path / "one", plan).fingerprint == one.fingerprint


def test_the_reference_encoder_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path)
    fast = write_store(tmp_path / "fast", plan)
    monkeypatch.setattr(
        block_encoder, "choose_encoder", lambda tokenizer, _: reference_encoder(tokenizer)
    )
    reference = write_store(tmp_path / "reference", plan)
    for name in os.listdir(fast.path):
        assert (fast.path / name).read_bytes() == (reference.path / name).read_bytes()


def test_the_documented_reader_reads_the_store(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", make_plan(tmp_path))
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) <= 10
    scope: dict[str, Any] = {}
    exec(code, scope)
    found = scope["read_store"](store.path)
    expected = [store.tokens[a : a + n - 1] for a, n in index_of(store)]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def index_of(store: TokenStore) -> list[tuple[int, int]]:
    """Offset and length of every document."""
    return list(
        zip(store.index["offset"].to_pylist(), store.index["length"].to_pylist(), strict=True)
    )


def test_broken_unicode_names_the_document(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = pa.array([b"fine", b"also fine", b"br\xffken", b"fine too"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 4, raw.buffers())
    pq.write_table(pa.table({"text": text, "label": list("abab")}), tmp_path / "own.parquet")
    params = CorpusParameters(source=str(tmp_path / "own.parquet"), heldout_fraction=1e-9)
    with pytest.raises(ErgokedroError, match=r"own\.parquet, row 3: not valid UTF-8"):
        write_corpus(tmp_path / "corpus", corpus_stream(params))
    assert not (tmp_path / "corpus").exists()


def test_dropped_documents_are_counted_but_not_stored(tmp_path: Path) -> None:
    plan = make_plan(tmp_path)
    plan.documents.loc[[0, 5], "status"] = "duplicate"
    store = write_store(tmp_path / "store", plan)
    assert not {0, 5} & set(documents_of(store))
    counts = [row for row in store.meta["cleaning"] if row["status"] == "duplicate"]
    assert [(row["documents"], row["tokens"]) for row in counts] == [(2, 80)]


def test_unusual_documents(tmp_path: Path) -> None:
    file = tmp_path / "own.parquet"
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [*PIECES, None, "x " * 500_000, "the other label"]
    pq.write_table(pa.table({"text": texts, "label": ["a"] * (len(texts) - 1) + ["b"]}), file)
    params = CorpusParameters(source=str(file), heldout_fraction=1e-9)
    corpus = write_corpus(tmp_path / "corpus", corpus_stream(params))
    documents = clean_documents(corpus)
    assert documents.status.to_list() == ["kept", "empty", *["kept"] * 3, "empty", "kept", "kept"]
    definition = TokenizerDefinition(train_bpe(PIECES, 300), "<|endoftext|>", "trained")
    tokenizer = save_tokenizer(tmp_path / "tokenizer", definition)
    store = write_store(tmp_path / "store", TokenizationPlan(corpus, documents, tokenizer, 0))
    stored = documents_of(store)
    for number in (0, 2, 3, 4):
        assert tokenizer.decode(stored[number][:-1]).removeprefix(" ") == PIECES[number].lstrip(" ")
        # A special token's text inside a document does not end it.
        assert (stored[number] == tokenizer.end_of_text).sum() == 1


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_cache, "BLOCK_ROWS", 4)


def write_slowly(path: Path, ready: Event) -> None:
    """What the process does that is killed."""
    corpus_cache.BLOCK_ROWS = 4
    plan = make_plan(path)
    encode = block_encoder._encode_block

    def slow(*args: Any) -> bytes:
        time.sleep(0.004)
        return encode(*args)

    pytest.MonkeyPatch().setattr(block_encoder, "_encode_block", slow)
    ready.set()
    write_store(path / "store", plan)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_resumes_to_the_same_bytes(tmp_path: Path, kills: int) -> None:
    expected = write_store(tmp_path / "expected", make_plan(tmp_path))
    rng = np.random.default_rng(0)
    for _ in range(kills):
        ready = CONTEXT.Event()
        process = CONTEXT.Process(target=write_slowly, args=(tmp_path, ready))
        process.start()
        ready.wait()
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        if (tmp_path / "store").exists():
            assert open_store(tmp_path / "store").fingerprint == expected.fingerprint
    store = write_store(tmp_path / "store", make_plan(tmp_path))
    for name in os.listdir(expected.path):
        assert (store.path / name).read_bytes() == (expected.path / name).read_bytes()
    assert not (tmp_path / "store.blocks").exists()


@pytest.mark.usefixtures("_small_blocks")
def test_blocks_of_other_inputs_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path)
    expected = write_store(tmp_path / "expected", plan)
    stale = tmp_path / "store.blocks"
    stale.mkdir()
    (stale / "inputs").write_text("of another tokenizer")
    (stale / "000000.block").write_bytes(b"\x00" * 400)
    assert write_store(tmp_path / "store", plan).fingerprint == expected.fingerprint


def test_training_a_tokenizer_is_deterministic() -> None:
    texts = [f"some words {i % 7} and others {i % 5}" for i in range(300)]
    assert train_bpe(iter(texts), 300) == train_bpe(iter(texts), 300)


def test_missing_tokenizers_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ErgokedroError, match=r"tokenizer\.source = './nowhere': no such directory"):
        load_pretrained("./nowhere", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ErgokedroError, match=r"must hold a tokenizer\.json"):
        load_pretrained(str(tmp_path / "empty"), None)
    with pytest.raises(ErgokedroError, match="kedro run --pipelines data_processing"):
        Tokenizer(tmp_path / "none")


def test_a_saved_tokenizer_loads_from_its_directory(tmp_path: Path) -> None:
    definition = TokenizerDefinition(train_bpe(["some text"], 300), "<|endoftext|>", "trained")
    saved = save_tokenizer(tmp_path / "tokenizer", definition)
    loaded = load_pretrained(str(saved.path), None)
    again = save_tokenizer(tmp_path / "again", loaded)
    text = "some other text"
    np.testing.assert_array_equal(again.encode([text])[0], saved.encode([text])[0])
