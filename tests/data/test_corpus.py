"""Sources, the cache and cleaning."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.data import cleaning
from ergokedro.data import corpus as corpus_cache
from ergokedro.data.cleaning import clean_documents, content_hash, leaked_heldout
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.documents import SCHEMA
from ergokedro.data.label_deletion import delete_names
from ergokedro.data.sources import corpus_stream
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters

ROWS = {
    "train": [("one two", 0), ("three", 1), ("one  two\n", 0), ("leak", 1), ("", 0), ("four", -1)],
    "validation": [("five", 0), ("six", 1)],
    "test": [("leak", 1), ("seven", 0)],
}


def write_hub_layout(root: Path, rows: dict[str, list[tuple[str, int]]], names: list[str]) -> Path:
    """Parquet files as on the hub: text and a ClassLabel."""
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    (root / "data").mkdir(parents=True)
    for split, each in rows.items():
        table = pa.table({"text": [t for t, _ in each], "label": [c for _, c in each]})
        table = table.replace_schema_metadata(metadata)
        pq.write_table(table, root / "data" / f"{split}-00000-of-00001.parquet")
    return root


@pytest.fixture(autouse=True)
def _own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def read(tmp_path: Path, **params: object) -> Corpus:
    return write_corpus(tmp_path / "corpus", corpus_stream(CorpusParameters(**params)))


def rows_of(corpus: Corpus) -> list[tuple[str, str, str | None]]:
    return [
        (split, row["text"], row["label"])
        for split, group in corpus.blocks()
        for row in corpus.read_block(split, group).to_pylist()
    ]


def test_a_directory_in_the_hubs_layout(tmp_path: Path) -> None:
    root = write_hub_layout(tmp_path / "hub", ROWS, ["x", "y"])
    corpus = read(tmp_path, source=str(root))
    assert corpus.labels == ["x", "y"]
    assert corpus.rows == {"train": 6, "validation": 2, "test": 2}
    assert rows_of(corpus)[0] == ("train", "one two", "x")
    assert rows_of(corpus)[5] == ("train", "four", None)


def test_cleaning_counts_every_reason(tmp_path: Path) -> None:
    root = write_hub_layout(tmp_path / "hub", ROWS, ["x", "y"])
    documents = clean_documents(read(tmp_path, source=str(root)))
    assert documents.status.to_list()[:6] == [
        "kept", "kept", "duplicate", "in_heldout", "empty", "unknown_label",
    ]  # fmt: skip
    assert (documents.status[6:] == "kept").all()
    assert leaked_heldout(documents) == {"test": 1, "validation": 0}


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from(" ab\u0301\u00e9e\u1e9b\u0323\n\u2002\u212b"), max_size=30),
    st.integers(1, 7),
)
def test_content_hash_of_pieces_is_that_of_the_whole(text: str, piece: int) -> None:
    normal = " ".join(unicodedata.normalize("NFC", text).split())
    expected = xxhash.xxh3_128_hexdigest(normal.encode()) if normal else ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleaning, "_PIECE", piece)
        assert content_hash(text) == expected


def test_content_hash_ignores_white_space_and_unicode_form() -> None:
    assert content_hash("a\u0301 b") == content_hash(" \u00e1\n\tb ")
    assert content_hash("ab") != content_hash("a b")
    assert content_hash(" \n") == ""


def test_hashes_that_end_in_zero_bytes_are_matched(tmp_path: Path) -> None:
    """Byte strings lose trailing zeros in numpy's fixed-width type: 1 in 256 was missed."""
    rows = {
        "train": [(f"document {i}", i % 2) for i in range(2000)],
        "validation": [("v", 0), ("w", 1)],
        "test": [(f"document {i}", i % 2) for i in range(2000)],
    }
    root = write_hub_layout(tmp_path / "hub", rows, ["x", "y"])
    documents = clean_documents(read(tmp_path, source=str(root)))
    assert (documents.status == "in_heldout").sum() == 2000


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_own_files_are_split_by_content(tmp_path: Path, suffix: str) -> None:
    rows = [{"body": f"text number {i}", "topic": "ab"[i % 2]} for i in range(400)]
    file = tmp_path / f"own.{suffix}"
    table = pa.Table.from_pylist(rows)
    if suffix == "parquet":
        pq.write_table(table, file)
    else:
        frame = table.to_pandas()
        if suffix == "csv":
            frame.to_csv(file, index=False)
        else:
            frame.to_json(file, orient="records", lines=True)
    corpus = read(tmp_path, source=str(file), text_column="body", label_column="topic")
    assert corpus.labels == ["a", "b"]
    assert sum(corpus.rows.values()) == 400
    assert all(20 <= corpus.rows[split] <= 60 for split in ("validation", "test"))
    assert len({text for _, text, _ in rows_of(corpus)}) == 400


def test_block_borders_and_fingerprint_depend_on_the_content_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {s: [("x" * (i * 37 % 50), i % 2) for i in range(90)] for s in ROWS}
    root = write_hub_layout(tmp_path / "hub", rows, ["x", "y"])
    monkeypatch.setattr(corpus_cache, "BLOCK_BYTES", 200)
    first = read(tmp_path, source=str(root))
    monkeypatch.setattr("ergokedro.data.sources._READ_ROWS", 7)
    second = write_corpus(tmp_path / "again", corpus_stream(CorpusParameters(source=str(root))))
    assert first.fingerprint == second.fingerprint
    assert first.blocks() == second.blocks()
    assert len(first.blocks()) > 10
    for split, group in first.blocks():
        block = first.read_block(split, group)
        assert block.num_rows == 1 or sum(map(len, block["text"].to_pylist())) <= 200
    assert rows_of(first) == rows_of(second)


def test_the_cache_is_used_until_the_source_changes(tmp_path: Path) -> None:
    root = write_hub_layout(tmp_path / "hub", ROWS, ["x", "y"])
    first = read(tmp_path, source=str(root))
    sidecar = first.path / "corpus.json"
    before = sidecar.stat().st_mtime_ns
    assert read(tmp_path, source=str(root)).fingerprint == first.fingerprint
    assert sidecar.stat().st_mtime_ns == before
    file = next((root / "data").glob("train*"))
    os.utime(file, ns=(0, 0))
    read(tmp_path, source=str(root))
    assert sidecar.stat().st_mtime_ns > before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"source": "./nowhere"}, r"corpus\.source = './nowhere': no such file"),
        ({"source": "what is this?"}, r"corpus\.source = 'what is this\?'"),
        ({"source": "{own}", "text_column": "body"}, r"no column 'body'.*corpus\.text_column"),
        ({"source": "{own}", "text_column": "number"}, r"'number' holds int64, not text"),
        ({"source": "{own}"}, r"the labels \['a'\].*at least two"),
        ({"source": "{text}"}, r"file type is not one of"),
    ],
)
def test_bad_sources(tmp_path: Path, params: dict[str, str], message: str) -> None:
    (tmp_path / "own.jsonl").write_text('{"text": "t", "label": "a", "number": 1}\n' * 30)
    (tmp_path / "own.txt").write_text("text")
    names = {"own": str(tmp_path / "own.jsonl"), "text": str(tmp_path / "own.txt")}
    filled = {key: value.format(**names) for key, value in params.items()}
    with pytest.raises(ErgokedroError, match=message):
        read(tmp_path, **filled)
    assert not (tmp_path / "corpus").exists()


def test_an_unreachable_hub_says_how_to_use_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    def refuse(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(ErgokedroError, match=r"somebody/corpus.*set corpus\.source to that"):
        read(tmp_path, source="somebody/corpus")


def test_a_broken_cache_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ErgokedroError, match="kedro run --pipelines data_processing"):
        Corpus(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("arXiv:2101.00001v1 [cs.AI] 1 Jan", "arXiv:2101.00001v1 [] 1 Jan"),
        ("(cs.AI, math.ST; quant-ph).", "(, ; )."),
        ("cs.AI", ""),
        ("see cs.AI. The", "see . The"),
        ("cs.AI-based", "-based"),
        ("quant-ph/0102003", "/0102003"),
        ("cs.AIM fcs.AI cs_AI csxAI CS.AI cs.ai", "cs.AIM fcs.AI cs_AI csxAI CS.AI cs.ai"),
        ("quant and quant-phase", " and -phase"),  # a shorter name where the longer does not fit
        ("\u00e9cs.AI cs.AI\u00e9", "\u00e9cs.AI cs.AI\u00e9"),
        ("C++ code", " code"),
        ("", ""),
        (None, None),
    ],
)
def test_label_names_are_deleted_as_whole_tokens(text: str | None, rest: str | None) -> None:
    names = ["cs.AI", "math.ST", "quant", "quant-ph", "C++"]
    batch = pa.record_batch([[text, "kept"], ["cs.AI", None]], schema=SCHEMA)
    ((split, after),) = delete_names([("test", batch)], names)
    assert split == "test"
    assert after.schema == batch.schema
    assert after.to_pydict() == {"text": [rest, "kept"], "label": ["cs.AI", None]}


@pytest.mark.parametrize("layout", ["hub", "jsonl"])
def test_label_names_are_deleted_when_the_corpus_is_read(tmp_path: Path, layout: str) -> None:
    texts = [(f"[{'cs.AI' if i % 2 else 'math.ST'}] number {i}", i % 2) for i in range(200)]
    if layout == "hub":
        rows = {"train": texts, "validation": texts[:2], "test": texts[2:4]}
        source = write_hub_layout(tmp_path / "hub", rows, ["math.ST", "cs.AI"])
    else:
        source = tmp_path / "own.jsonl"
        lines = [{"text": t, "label": ["math.ST", "cs.AI"][label]} for t, label in texts]
        source.write_text("\n".join(map(json.dumps, lines)))
    plain = read(tmp_path, source=str(source))
    before, sidecar = plain.fingerprint, plain.path / "corpus.json"
    clean = read(tmp_path, source=str(source), delete_label_names=True)
    assert clean.fingerprint != before
    assert {text.split(" ")[0] for _, text, _ in rows_of(clean)} == {"[]"}
    assert {label for *_, label in rows_of(clean)} == {"cs.AI", "math.ST"}
    time = sidecar.stat().st_mtime_ns
    read(tmp_path, source=str(source), delete_label_names=True, near_duplicates="report")
    assert sidecar.stat().st_mtime_ns == time  # what is done later does not read it again


def test_numbers_are_no_label_names(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text('{"text": "3 or 4", "label": 3}\n{"text": "t", "label": 4}')
    with pytest.raises(ErgokedroError, match=r"corpus\.delete_label_names = true.*holds numbers"):
        read(tmp_path, source=str(tmp_path / "own.jsonl"), delete_label_names=True)


def test_labels_may_be_numbers_and_have_space_around_them(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text("text,label\n" + "".join(f"text {i},{i % 2}\n" for i in range(60)))
    assert read(tmp_path / "numbers", source=str(file)).labels == ["0", "1"]
    lines = [f'text {i},"{("en", " en ", "cs", "  ")[i % 4]}"\n' for i in range(60)]
    file.write_text("text,label\n" + "".join(lines))
    corpus = read(tmp_path / "spaces", source=str(file))
    assert corpus.labels == ["cs", "en"]
    assert sum(label is None for _, _, label in rows_of(corpus)) == 15
