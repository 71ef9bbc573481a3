"""Where a corpus comes from: paths, globs, own sources; and when it is read again."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pytest

from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus
from ergokedro.data.documents import Source
from ergokedro.data.sources import SOURCES, corpus_stream, row_source
from ergokedro.data.text_folders import find_text_files
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import define_tokenizer, save_tokenizer
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters, TokenizerParameters
from ergokedro.pipelines.data_processing import nodes
from how_to import run_page
from marked_text import (
    Row,
    counts,
    documents,
    marked,
    read,
    write_csv,
    write_jsonl,
    write_parquet,
)

WRITERS: dict[str, Callable[[Path, list[Row]], Path]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}

# What is read again, and what is not.


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "txt"])
def test_a_file_that_keeps_its_time_and_size_is_read_again(tmp_path: Path, suffix: str) -> None:
    """As `cp -p`, `rsync -a` and `tar` leave it."""
    old, new = marked(30), [(text.replace("text", "next"), label) for text, label in marked(30)]
    if suffix == "txt":
        for number, (text, label) in enumerate(old):
            (tmp_path / "in" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / f"in/{label}/{number}.txt").write_text(text)
        source = tmp_path / "in"
        file = source / "A/0.txt"
    else:
        source = file = WRITERS[suffix](tmp_path / f"own.{suffix}", old)
    first = read(tmp_path, source)
    status = file.stat()
    if suffix == "txt":
        file.write_text(file.read_text().replace("text", "next"))
    else:
        WRITERS[suffix](file, new)
    assert file.stat().st_size == status.st_size
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = read(tmp_path, source)
    assert second.fingerprint != first.fingerprint
    assert any("next" in (text or "") for _, text, _ in documents(second))


def is_read_again(work: Path, source: Path) -> bool:
    sidecar = work / "corpus/corpus.json"
    before = sidecar.stat().st_mtime_ns
    read(work, source)
    return sidecar.stat().st_mtime_ns > before


def test_what_has_the_same_content_is_not_read_again(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/train.jsonl", marked(30))
    (tmp_path / "in/notes.txt").write_text("1")
    read(tmp_path, tmp_path / "in")
    os.utime(tmp_path / "in/train.jsonl", ns=(0, 0))
    (tmp_path / "in/notes.txt").write_text("2")
    assert not is_read_again(tmp_path, tmp_path / "in")
    (tmp_path / "in/train.jsonl").rename(tmp_path / "in/train-1.jsonl")
    assert is_read_again(tmp_path, tmp_path / "in")
    write_jsonl(tmp_path / "in/test.jsonl", marked(9, 100))
    assert is_read_again(tmp_path, tmp_path / "in")
    (tmp_path / "in/README.md").write_text("---\ndataset_info: {features: []}\n---\n")
    assert is_read_again(tmp_path, tmp_path / "in")


# Paths and globs.


@pytest.mark.parametrize(
    "folder",
    ["[raw] data", "a [x]/b", "q?", "st*r", "100%", "ü é", "{a}", "${x}", "a,b", "#1", "a=b"],
)
def test_what_exists_is_no_glob(tmp_path: Path, folder: str) -> None:
    for other in ("r data", "a x/b", "qq", "star"):  # what the folder's name would match
        write_jsonl(tmp_path / other / "train.jsonl", marked(9, categories="XY"))
    write_jsonl(tmp_path / folder / "train.jsonl", marked(30))
    write_jsonl(tmp_path / folder / "deep/test.jsonl", marked(9, 100))
    for number, end in enumerate(["", "/train.jsonl", "/*.jsonl", "/**/*.jsonl", "/t[r]ain.jsonl"]):
        corpus = read(tmp_path / f"work{number}", f"{tmp_path}/{folder}{end}")
        assert corpus.labels == ["A", "B", "C"]
        table = counts(corpus)
        if end in ("", "/**/*.jsonl"):
            assert table["test"] == {"A": 9, "B": 9, "C": 9}


def test_globs_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "in/x/train.jsonl", marked(30))
    monkeypatch.chdir(tmp_path / "in")
    for number, source in enumerate(["**/*.jsonl", "*/train.*", "x", "./x/*.jsonl", "."]):
        assert sum(read(tmp_path / str(number), source).rows.values()) == 90


@pytest.mark.parametrize("source", ["./nothing/*.csv", "/nothing/**", "what is this?"])
def test_a_glob_that_matches_nothing(source: str) -> None:
    with pytest.raises(ErgokedroError, match="no such file or directory"):
        corpus_stream(CorpusParameters(source=source))


# Folders of text files.


def make_folders(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_splits_and_categories_from_folders(tmp_path: Path) -> None:
    files = {
        "train/b/2.txt": "two",
        "train/a/deep/1.txt": "one",
        "train/a/.hidden": "no",
        "train/__MACOSX/a/1.txt": "no",
        "test/a/3.txt": "three",
    }
    corpus = read(tmp_path, make_folders(tmp_path / "in", files), heldout_fraction=1e-9)
    assert corpus.labels == ["a", "b"]
    assert documents(corpus) == [
        ("train", "one", "a"),
        ("train", "two", "b"),
        ("test", "three", "a"),
    ]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("**/*.py", ["x.py", "y.py", "Z.PY"]),
        ("*.py", ["x.py", "y.py"]),
        (".py", ["x.py", "y.py", "Z.PY"]),
        ("**/*.[cm]*", ["x.csv", "z.md"]),
        ("deep/*", ["Z.PY"]),
    ],
)
def test_a_glob_chooses_among_the_files(tmp_path: Path, pattern: str, found: list[str]) -> None:
    files = {"a/x.py": "1", "a/x.csv": "2", "b/y.py": "3", "b/z.md": "4", "b/deep/Z.PY": "5"}
    root = make_folders(tmp_path / "corpus", files)
    assert {file.name for _, file in find_text_files(root, pattern)["train"]} == set(found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ab\xff", r"bad\.txt is not valid UTF-8 .* at byte 2"),
        ("ab".encode("utf-16"), "bad.txt is not valid UTF-8"),
        ("ab".encode("utf-16-le"), "bad.txt is binary or UTF-16"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
    ],
)
def test_text_files_that_are_no_text(tmp_path: Path, content: bytes, message: str) -> None:
    root = make_folders(tmp_path / "in", {"a/x.txt": "1", "b/y.txt": "2"})
    (root / "a/bad.txt").write_bytes(content)
    with pytest.raises(ErgokedroError, match=message):
        read(tmp_path, root)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "in", {"a/x.txt": "\ufeffone", "b/y.txt": "two"})
    corpus = read(tmp_path, root, heldout_fraction=1e-9)
    assert [text for _, text, _ in documents(corpus)] == ["one", "two"]


@pytest.mark.parametrize(
    ("source", "setting"),
    [
        ("synthetic", "config"),
        ("synthetic", "text_files"),
        ("docstrings", "revision"),
        ("in", "config"),
        ("in", "revision"),
        ("table", "revision"),
        ("table/train.jsonl", "config"),
        ("table/*.jsonl", "config"),
        ("memory://table/train.jsonl", "config"),
        ("owner/name", "text_files"),
    ],
)
def test_a_setting_that_a_source_does_not_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, setting: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folders(tmp_path / "in", {"a/x.txt": "1", "b/y.txt": "2"})
    write_jsonl(tmp_path / "table" / "train.jsonl", marked(3))
    fsspec.filesystem("memory").pipe("/table/train.jsonl", b"{}")
    message = rf"corpus\.{setting} = 'x' has no effect on corpus\.source = '{re.escape(source)}'"
    with pytest.raises(ErgokedroError, match=message):
        corpus_stream(CorpusParameters(source=source, **{setting: "x"}))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("memory://elsewhere/train.jsonl", "nothing is there. Check the address"),
        ("memory://elsewhere/*.jsonl", "nothing is there. Check the address"),
        ("memory://texts", "no file of the types"),
    ],
)
def test_an_address_without_a_table_is_an_error(source: str, message: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/texts/one.doc", b"1")
    memory.pipe("/texts/two.doc", b"2")
    with pytest.raises(ErgokedroError, match=re.escape(f"corpus.source = {source!r}: ")) as error:
        corpus_stream(CorpusParameters(source=source))
    assert message in str(error.value)


def test_options_of_the_synthetic_corpus_are_refused() -> None:
    with pytest.raises(ErgokedroError, match=r"corpus\.options = \{'seed': 1\} has no effect"):
        corpus_stream(CorpusParameters(options={"seed": 1}))


def test_mistakes_with_folders(tmp_path: Path) -> None:
    root = make_folders(tmp_path / "in", {"a/x.txt": "1", "loose.txt": "2"})
    with pytest.raises(ErgokedroError, match=r"no file <category>/\*\.md is there \(\.txt\)"):
        find_text_files(root, "*.md")
    with pytest.raises(ErgokedroError, match=r"corpus\.text_files = '\*' is for a directory"):
        read(tmp_path, root / "loose.txt", text_files="*")
    script = make_folders(tmp_path / "script", {"script.py": "", "train.txt": ""})
    with pytest.raises(ErgokedroError, match=r"script\.py, a loading script, is not run"):
        read(tmp_path, script)
    archive = make_folders(tmp_path / "archive", {"texts.zip": ""})
    with pytest.raises(ErgokedroError, match="unpack archives"):
        read(tmp_path, archive)
    table = make_folders(tmp_path / "table", {"a/x.txt": "1", "metadata.csv": "file,x\n"})
    with pytest.raises(ErgokedroError, match=r"no column 'text'.* set corpus\.text_files"):
        read(tmp_path, table)


def test_a_set_of_files_is_complete(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (0, 2):
        name = f"in/train-0000{number}-of-00003.jsonl"
        write_jsonl(tmp_path / name, marked(20, 100 * number))
    with pytest.raises(ErgokedroError, match="of the 3 files of 'train' only 2 are there"):
        read(tmp_path, tmp_path / "in")
    read(tmp_path, tmp_path / "in/train-*")
    assert "only 2 are there" in caplog.text


# Sources of one's own.


@pytest.fixture
def own_source() -> Iterator[list[int]]:
    """Registers the source 'toy'; gives a list that grows when it is read."""
    readings: list[int] = []

    @SOURCES.add("toy")
    def toy(params: CorpusParameters) -> Source:
        def rows() -> Iterator[tuple[str, str, str]]:
            readings.append(1)
            for text, label in marked(9, 100):
                yield params.options.get("heldout", "test"), text, label
            for text, label in marked(params.options["n"]):
                yield "train", text * 9, label

        return row_source({"version": params.options.get("version", 1)}, rows)

    yield readings
    del SOURCES._entries["toy"]


def test_a_source_of_ones_own_from_fetching_to_the_store(
    tmp_path: Path, own_source: list[int]
) -> None:
    params = CorpusParameters(source="toy", options={"n": 40}, heldout_fraction=0.2)
    stream = nodes.fetch_corpus(params)
    assert own_source == []  # it is read when it is saved
    from ergokedro.datasets.handles import CorpusDataset

    dataset = CorpusDataset(str(tmp_path / "corpus"))
    dataset.save(stream)
    corpus: Corpus = dataset.load()
    table = counts(corpus)
    assert table["test"] == {"A": 9, "B": 9, "C": 9}
    assert 10 < sum(table["validation"].values()) < 40
    dataset.save(nodes.fetch_corpus(params))
    assert own_source == [1]
    dataset.save(nodes.fetch_corpus(params.model_copy(update={"options": {"n": 41}})))
    assert own_source == [1, 1]
    corpus = dataset.load()
    cleaned = clean_documents(corpus)
    definition = define_tokenizer(TokenizerParameters(vocab_size=300), corpus, cleaned)
    tokenizer = save_tokenizer(tmp_path / "tokenizer", definition)
    store = write_store(tmp_path / "store", TokenizationPlan(corpus, cleaned, tokenizer, 0))
    assert store.labels == ["A", "B", "C"]
    assert store.index.num_rows == 3 * 41 + 27
    first = store.documents("test", "B")["offset"][0].as_py()
    assert tokenizer.decode(store.tokens[first : first + 9]).lstrip().startswith("B: ")


def test_the_source_of_the_how_to_page(tmp_path: Path) -> None:
    file = tmp_path / "documents.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE documents (split, text, label)")
        rows = [("train", *row) for row in marked(20)] + [("dev", *row) for row in marked(9, 50)]
        connection.executemany("INSERT INTO documents VALUES (?, ?, ?)", rows)
        connection.commit()
        run_page("extend-source.md")
        try:
            options = {"database": str(file)}
            corpus = read(tmp_path, "sqlite", options=options)
            assert counts(corpus)["validation"] == {"A": 9, "B": 9, "C": 9}
            first = corpus.fingerprint
            connection.execute("UPDATE documents SET label = 'D' WHERE label = 'C'")
            connection.commit()
            assert read(tmp_path, "sqlite", options=options).fingerprint != first
            with pytest.raises(ErgokedroError, match=r"corpus\.options\.database = 'no\.db'"):
                read(tmp_path, "sqlite", options={"database": "no.db"})
        finally:
            del SOURCES._entries["sqlite"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("final", "x", "A")], "a document of the split 'final'"),
        ([("train", 3, "A")], "Document 1 of a corpus source has the text 3"),
        ([("train", "x", "A"), ("train", "x", 1)], "Document 2 .* has the label 1"),
        ([("train", "x", "A"), ("test", "x", "A")], "test after those of train"),
    ],
)
def test_mistakes_of_a_source(
    tmp_path: Path, rows: list[Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES._entries, "wrong", lambda _: row_source({}, lambda: rows))
    with pytest.raises(ErgokedroError, match=message):
        read(tmp_path, "wrong")


def test_options_are_for_sources_of_ones_own(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "own.jsonl", marked(30))
    with pytest.raises(ErgokedroError, match=r"corpus\.options = .* registered sources"):
        read(tmp_path, source, options={"n": 1})
