"""Sources, the cache and cleaning."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.data import content_hash as content_hashes
from ergokedro.data import corpus as corpus_cache
from ergokedro.data import documents as record_batches
from ergokedro.data.cleaning import clean_documents, leaked_heldout
from ergokedro.data.content_hash import content_hash
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.documents import SCHEMA, Part
from ergokedro.data.label_deletion import delete_names
from ergokedro.data.sources import corpus_stream
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters
from marked_text import class_table

ROWS = {
    "train": [("one two", 0), ("three", 1), ("one  two\n", 0), ("leak", 1), ("", 0), ("four", -1)],
    "validation": [("five", 0), ("six", 1)],
    "test": [("leak", 1), ("seven", 0)],
}


def write_hub_layout(root: Path, rows: dict[str, list[tuple[str, int]]], names: list[str]) -> Path:
    """Parquet files as on the hub: text and a ClassLabel."""
    (root / "data").mkdir(parents=True)
    metadata = class_table([], names).schema.metadata
    for split, members in rows.items():
        table = pa.table({"text": [t for t, _ in members], "label": [c for _, c in members]})
        table = table.replace_schema_metadata(metadata)
        pq.write_table(table, root / "data" / f"{split}-00000-of-00001.parquet")
    return root


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
    st.text(
        st.sampled_from(" ab\u0301\u00e9e\u1e9b\u0323\n\u2002\u212b\ufb01\u00a8\ufeff\u200b"),
        max_size=30,
    ),
    st.integers(1, 7),
)
def test_content_hash_of_pieces_is_that_of_the_whole(text: str, piece: int) -> None:
    visible = text.replace("\ufeff", "").replace("\u200b", "")
    normal = " ".join(unicodedata.normalize("NFKC", visible).split())
    expected = xxhash.xxh3_128_hexdigest(normal.encode()) if normal else ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content_hashes, "_PIECE", piece)
        assert content_hash(text) == expected


@pytest.mark.parametrize(
    "other",
    [
        " na\u00efve\toffice\n\n1 ",
        "nai\u0308ve office 1",  # decomposed
        "na\u00efve o\ufb03ce 1",  # a ligature
        "na\u00efve office \uff11",  # a wide digit
        "\ufeffna\u00efve office 1",  # a byte order mark
        "na\u00efve\u00a0office\u20031",  # other spaces
        "na\u00efve\r\noffice\r\n1",
        "na\u00ad\u00efve of\u200bfice 1",  # invisible characters
    ],
)
def test_texts_that_look_the_same_are_the_same(other: str) -> None:
    assert content_hash(other) == content_hash("na\u00efve office 1")


def test_texts_that_differ_are_not_the_same() -> None:
    assert len({content_hash(t) for t in ("ab", "a b", "a c", "A b", "a", "a\u0301")}) == 6
    assert content_hash(" \n\ufeff") == ""


def test_hashes_that_end_in_zero_bytes_are_matched(tmp_path: Path) -> None:
    """Byte strings lose trailing zeros in numpy's fixed-width type: 1 in 256 was missed."""
    rows = {
        "train": [("kept", 0), *((f"document {i}", i % 2) for i in range(2000))],
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
    monkeypatch.setattr(record_batches, "_BATCH_ROWS", 7)
    monkeypatch.setattr("ergokedro.data.arrow_files._BATCH_ROWS", 7)
    second = write_corpus(tmp_path / "again", corpus_stream(CorpusParameters(source=str(root))))
    assert first.fingerprint == second.fingerprint
    assert first.blocks() == second.blocks()
    assert len(first.blocks()) > 10
    for split, group in first.blocks():
        block = first.read_block(split, group)
        assert block.num_rows == 1 or sum(map(len, block["text"].to_pylist())) <= 200
    assert rows_of(first) == rows_of(second)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"source": "./nowhere"}, r"corpus\.source = './nowhere': no such file"),
        ({"source": "what is this?"}, r"corpus\.source = 'what is this\?'"),
        ({"source": "{own}", "text_column": "body"}, r"no column 'body'.*corpus\.text_column"),
        (
            {"source": "{own}", "text_column": "number"},
            r"jsonl, line 1: .*'number' holds 1, not text",
        ),
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
        ("on machine learning, machine\n  learning and machines", "on ,  and machines"),
        ("machinelearning", "machinelearning"),
        ("\u00fcber alles, u\u0308ber allem", " alles,  allem"),  # in both Unicode forms
        ("", ""),
        (None, None),
    ],
)
def test_label_names_are_deleted_as_whole_tokens(text: str | None, rest: str | None) -> None:
    names = ["cs.AI", "math.ST", "quant", "quant-ph", "C++", "machine learning ", "\u00fcber"]
    batch = pa.record_batch([[text, "kept"], ["cs.AI", None]], schema=SCHEMA)
    (part,) = delete_names([Part("test", "somewhere", [batch])], names)
    (after,) = part.batches
    assert part.split == "test"
    assert after.schema == batch.schema
    assert after.to_pydict() == {"text": [rest, "kept"], "label": ["cs.AI", None]}


@pytest.mark.parametrize(
    "names", [["math.ST", "cs.AI"], [" statistics theory", "machine learning "]]
)
@pytest.mark.parametrize("layout", ["hub", "jsonl"])
def test_label_names_are_deleted_when_the_corpus_is_read(
    tmp_path: Path, layout: str, names: list[str]
) -> None:
    texts = [(f"[{names[i % 2].strip()}] number {i}", i % 2) for i in range(200)]
    if layout == "hub":
        rows = {"train": texts, "validation": texts[:2], "test": texts[2:4]}
        source = write_hub_layout(tmp_path / "hub", rows, names)
    else:
        source = tmp_path / "own.jsonl"
        lines = [{"text": t, "label": names[label]} for t, label in texts]
        source.write_text("\n".join(map(json.dumps, lines)))
    plain = read(tmp_path, source=str(source))
    before, sidecar = plain.fingerprint, plain.path / "corpus.json"
    clean = read(tmp_path, source=str(source), delete_label_names=True)
    assert clean.fingerprint != before
    assert {text.split(" ")[0] for _, text, _ in rows_of(clean)} == {"[]"}
    assert {label for *_, label in rows_of(clean)} == {name.strip() for name in names}
    time = sidecar.stat().st_mtime_ns
    read(tmp_path, source=str(source), delete_label_names=True, near_duplicates="report")
    assert sidecar.stat().st_mtime_ns == time  # what is done later does not read it again


def test_texts_that_become_equal_by_deletion_do_not_leak(tmp_path: Path) -> None:
    """In train a text names its category, in test the copy of it does not."""
    rows = {
        "train": [(f"on machine\nlearning number {i}", 0) for i in range(20)] + [("other", 1)],
        "validation": [("a", 0), ("b", 1)],
        "test": [(f"on number {i}", 0) for i in range(20)],
    }
    root = write_hub_layout(tmp_path / "hub", rows, ["machine learning", "logic"])
    corpus = read(tmp_path, source=str(root), delete_label_names=True)
    assert (clean_documents(corpus).status == "in_heldout").sum() == 20


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_numbers_are_no_label_names(tmp_path: Path, suffix: str) -> None:
    content = {
        "jsonl": '{"text": "3 or 4", "label": 3}\n{"text": "t", "label": 4}',
        "csv": "text,label\n3 or 4,3\nt,4\n",
    }[suffix]
    file = tmp_path / f"own.{suffix}"
    file.write_text(content)
    with pytest.raises(ErgokedroError, match=r"corpus\.delete_label_names = true.*holds numbers"):
        read(tmp_path, source=str(file), delete_label_names=True)


def test_texts_of_some_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their numbers over all splits, whichever blocks they are in."""
    monkeypatch.setattr(corpus_cache, "BLOCK_ROWS", 4)
    root = write_hub_layout(tmp_path / "hub", ROWS, ["x", "y"])
    corpus = read(tmp_path, source=str(root))
    assert len(corpus.blocks()) == 4
    texts = dict(enumerate(text for _, text, _ in rows_of(corpus)))
    assert list(corpus.texts([9, 4, 3, 5, 0])) == [(n, texts[n]) for n in (0, 3, 4, 5, 9)]
