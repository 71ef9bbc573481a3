"""A corpus that is read as a stream: the same store as without, whatever the files and readers."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import (
    END_OF_TEXT,
    Tokenizer,
    TokenizerDefinition,
    save_tokenizer,
    train_bpe,
)
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters, Parameters
from marked_text import Row, marked, write_jsonl, write_parquet

ALL = 10**6  # tokens: the whole corpus
HELDOUT = {"validation": marked(20, 1000), "test": [*marked(20, 2000), *marked(3)]}
TRAIN = [*marked(80), ("A: nothing but this", "A"), (" ", "B"), ("C: no label", None)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Trained on the text, as every store here is made with the same."""
    definition = train_bpe((text for text, _ in TRAIN), 300)
    folder = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    return save_tokenizer(folder, TokenizerDefinition(definition, END_OF_TEXT, "trained"))


def write_shards(folder: Path, rows: list[tuple[str, str | None]], n: int, seed: int) -> Path:
    """Training documents in `n` files in an order of their own, and the held-out ones."""
    rows = random.Random(seed).sample(rows, len(rows))
    for split, members in HELDOUT.items():
        write_jsonl(folder / f"{split}.jsonl", members)
    for shard in range(n):
        write_jsonl(folder / f"train-{shard}.jsonl", rows[shard::n])
    return folder


def read(tmp_path: Path, source: Path | str, **settings: Any) -> Corpus:
    params = CorpusParameters(source=str(source), **settings)
    return write_corpus(tmp_path / "corpus", corpus_stream(params))


def store(tmp_path: Path, corpus: Corpus, tokenizer: Tokenizer, limit: int) -> TokenStore:
    documents = clean_documents(corpus)
    plan = TokenizationPlan(corpus, documents, tokenizer, order_seed=0, max_tokens=limit)
    return write_store(tmp_path / "store", plan)


def content(made: TokenStore) -> tuple[bytes, dict[str, list[Any]]]:
    """The tokens, and the index but for the numbers of the documents in the corpus."""
    return made.tokens.tobytes(), made.index.drop(["document"]).to_pydict()


@pytest.mark.parametrize("limit", [ALL, 60])
def test_the_store_is_that_of_the_whole_corpus(
    tmp_path: Path, tokenizer: Tokenizer, limit: int
) -> None:
    source = write_shards(tmp_path / "in", TRAIN, 3, seed=0)
    whole = read(tmp_path / "a", source, max_tokens_per_category=limit)
    stream = read(tmp_path / "b", source, max_tokens_per_category=limit, streaming=True)
    expected = store(tmp_path / "a", whole, tokenizer, limit)
    made = store(tmp_path / "b", stream, tokenizer, limit)
    assert content(made) == content(expected)
    totals = made.index.to_pandas().groupby(["split", "label"]).length.sum()
    assert len(totals) == 9
    assert (totals <= limit).all()
    if limit == ALL:
        assert whole.rows["train"] == len(TRAIN)
        assert made.index.num_rows == expected.index.num_rows == 3 * (77 + 20 + 23) + 1
    else:
        assert (totals > 0.7 * limit).all()
        assert sum(stream.rows.values()) < sum(whole.rows.values()) / 2


def test_neither_files_nor_their_order_matter(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"streaming": True, "max_tokens_per_category": 50}
    one = read(tmp_path / "a", write_shards(tmp_path / "x", TRAIN, 1, seed=0), **settings)
    five = read(tmp_path / "b", write_shards(tmp_path / "y", TRAIN, 5, seed=1), **settings)
    assert one.rows["train"] < 60
    assert (one.fingerprint, one.labels) == (five.fingerprint, five.labels)


@pytest.mark.slow
def test_the_number_of_readers_does_not_matter(tmp_path: Path) -> None:
    source = write_shards(tmp_path / "in", TRAIN, 5, seed=0)
    settings: dict[str, Any] = {"streaming": True, "max_tokens_per_category": 50}
    one = read(tmp_path / "a", source, **settings)
    three = read(tmp_path / "b", source, **settings, processes=3)
    assert one.fingerprint == three.fingerprint
    assert one.provenance == three.provenance


def test_missing_splits_are_carved_out_of_the_stream(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_jsonl(tmp_path / "in/all.jsonl", TRAIN)
    settings: dict[str, Any] = {"max_tokens_per_category": 200, "heldout_fraction": 0.2}
    whole = read(tmp_path / "a", tmp_path / "in", **settings)
    stream = read(tmp_path / "b", tmp_path / "in", **settings, streaming=True)
    made, expected = (
        store(folder, corpus, tokenizer, 200)
        for folder, corpus in ((tmp_path / "a", whole), (tmp_path / "b", stream))
    )
    assert set(made.index["split"].to_pylist()) == {"train", "validation", "test"}
    assert content(made) == content(expected)


def test_class_numbers_and_deleted_names(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in/train.parquet", marked(30), ["C", "B", "A"])
    write_parquet(tmp_path / "in/test.parquet", marked(9, 100), ["A", "C", "B"])
    settings: dict[str, Any] = {"streaming": True, "max_tokens_per_category": ALL}
    corpus = read(tmp_path, tmp_path / "in", delete_label_names=True, **settings)
    assert corpus.labels == ["C", "B", "A"]
    table = corpus.read_block("test", 0).to_pydict()
    assert len(table["text"]) == 27
    assert all(text.startswith(": text") for text in table["text"])


def test_a_source_of_ones_own_is_streamed(tmp_path: Path) -> None:
    params: dict[str, Any] = {"source": "synthetic", "max_tokens_per_category": ALL}
    small = {"components": 2, "train_documents": 30, "heldout_documents": 3}
    corpus = read(tmp_path, **params, synthetic=small, streaming=True, processes=2)
    assert corpus.rows["train"] == 70
    assert corpus.rows["test"] == 6


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train-0": [("a", "x")], "train-1": [("b", "1")]}, "Numbers and names cannot be joined"),
        ({"train": [("a", "x")], "test": [("b", "y")]}, "no category is in both"),
    ],
)
def test_labels_of_all_files_are_checked(
    tmp_path: Path, files: dict[str, list[Row]], message: str
) -> None:
    for name, rows in files.items():
        write_jsonl(tmp_path / f"in/{name}.jsonl", rows)
    with pytest.raises(ErgokedroError, match=message):
        read(tmp_path, tmp_path / "in", streaming=True, max_tokens_per_category=ALL)


def test_a_stream_needs_a_limit() -> None:
    with pytest.raises(ValueError, match=r"corpus\.streaming = true needs corpus\.max_tokens_per"):
        Parameters.model_validate({"corpus": {"streaming": True}})


PEAK = """
import resource, sys
from pathlib import Path
from ergokedro.data.corpus import write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.parameters import CorpusParameters
params = CorpusParameters(source=sys.argv[1], streaming=True, max_tokens_per_category=100_000)
write_corpus(Path(sys.argv[2]), corpus_stream(params))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    peaks, sizes = [], []
    for shards in (2, 12):
        source = tmp_path / str(shards)
        for shard in range(shards):
            draw = random.Random(shard)
            words = [f"w{draw.getrandbits(40)}" for _ in range(500)]
            rows = [
                (" ".join([str(n), *draw.choices(words, k=1000)]), "AB"[n % 2]) for n in range(1500)
            ]
            write_parquet(source / f"train-{shard}.parquet", rows, ["A", "B"])
        corpus = tmp_path / f"corpus{shards}"
        command = [sys.executable, "-c", PEAK, str(source), str(corpus)]
        peaks.append(int(subprocess.check_output(command, text=True)) / 1024)
        sizes.append(sum(file.stat().st_size for file in corpus.iterdir()) / 2**20)
    # 160 MB of text more; the sample has 0.8 MB of each of 2 categories in 3 splits.
    assert peaks[1] - peaks[0] < 40, peaks
    assert max(sizes) < 6 * 0.8, sizes
