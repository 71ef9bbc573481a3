"""A column holds what the file says: strings stay as they are written, other types are refused."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.errors import ErgokedroError
from marked_text import (
    counts,
    documents,
    jsonl,
    marked,
    read,
    statuses,
    write_csv,
    write_jsonl,
    write_parquet,
)

NAN = float("nan")
# Labels that readers like to take for something else.
TRICKY = [
    ("NA", "NO", "SE"),
    ("null", "nan", "None"),
    ("01", "02", "1"),
    ("1.1", "1.10", "1.100"),
    ("1E5", "100000", "1e5"),
    ("inf", "infinity", "-inf"),
    ("True", "true", "TRUE"),
    ("2021-01", "2021-01-01", "20210101"),
    ("9007199254740993", "9007199254740992", "9007199254740991"),
    ("#N/A", "N/A", "n/a"),
    ('"A"', "'A'", "A"),
    ("0x10", "0b11", "1_000"),
]


def write_text_parquet(path: Path, rows: list[tuple[str, str]]) -> Path:
    return write_parquet(path, rows)


WRITERS: dict[str, Callable[[Path, Any], Path]] = {
    "own.csv": write_csv,
    "own.jsonl": write_jsonl,
    "own.parquet": write_text_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("labels", TRICKY)
def test_labels_stay_as_they_are_written(
    tmp_path: Path, labels: tuple[str, ...], name: str
) -> None:
    source = WRITERS[name](tmp_path / name, marked(15, categories=labels))
    corpus = read(tmp_path, source)
    assert corpus.labels == sorted(labels)
    total = pd.DataFrame(counts(corpus)).sum(axis=1)
    assert total.to_dict() == dict.fromkeys(labels, 15)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=9))
def test_texts_stay_as_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, texts: list[str]
) -> None:
    work = tmp_path_factory.mktemp("texts")
    texts = [*texts, "NA", "", "null", "1.0", " x ", "a\r\nb", 'q"u,o\nt"e', "\ufeffmark"]
    rows = [(text, "ab"[i % 2]) for i, text in enumerate(texts)]
    corpus = read(work, WRITERS[name](work / name, rows), heldout_fraction=1e-9)
    assert documents(corpus) == [("train", text, label) for text, label in rows]


def with_row(number: int, text: Any = "a text", label: Any = "A") -> list[tuple[Any, Any]]:
    """300 good documents, but for the one of this number (from 1 on)."""
    rows: list[tuple[Any, Any]] = [(t.replace(" ", "\n"), c) for t, c in marked(100)]
    rows[number - 1] = (text, label)
    return rows


@pytest.mark.parametrize("number", [1, 78, 300])
@pytest.mark.parametrize("text", [2024, 1.5, False, ["words", "of"], {"body": "x"}, float("inf")])
def test_a_text_of_another_type_names_the_line(tmp_path: Path, number: int, text: Any) -> None:
    source = write_jsonl(tmp_path / "own.jsonl", with_row(number, text))
    with pytest.raises(ErgokedroError) as error:
        read(tmp_path, source)
    assert f"own.jsonl, line {number}: corpus.text_column = 'text' holds" in error.value.message
    assert ", not text" in error.value.message
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("number", [1, 78])
@pytest.mark.parametrize("label", [["A"], {"name": "A"}, 1.5, 3, True])
def test_a_label_of_another_type_names_the_line(tmp_path: Path, number: int, label: Any) -> None:
    source = write_jsonl(tmp_path / "own.jsonl", with_row(number, label=label))
    with pytest.raises(ErgokedroError) as error:
        read(tmp_path, source)
    is_whole = isinstance(label, int)
    line = 2 if number == 1 and is_whole else number  # where the kind changes
    assert f"own.jsonl, line {line}: " in error.value.message


@pytest.mark.parametrize("number", [1, 78])
@pytest.mark.parametrize("missing", [NAN, None])
def test_what_is_missing_is_counted(tmp_path: Path, number: int, missing: Any) -> None:
    rows = with_row(number, missing)
    rows[199] = (rows[199][0], missing)
    corpus = read(tmp_path, write_jsonl(tmp_path / "own.jsonl", rows), heldout_fraction=1e-9)
    assert statuses(corpus)["train"] == {"kept": 298, "empty": 1, "unknown_label": 1}
    kept = [(text, label) for _, text, label in documents(corpus) if text and label]
    assert all(text[0] == label and "\n" in text for text, label in kept)


def test_a_number_far_down_a_large_file(tmp_path: Path) -> None:
    """Readers that infer types do so from the first megabytes."""
    lines = [jsonl([(f"A:\n{'word ' * 1500}{i}", "AB"[i % 2])]) for i in range(1600)]
    lines[1590] = jsonl([(7, "A")])
    (tmp_path / "own.jsonl").write_text("".join(lines))
    assert (tmp_path / "own.jsonl").stat().st_size > 11e6
    with pytest.raises(ErgokedroError, match=r"own\.jsonl, line 1591: .* holds 7, not text"):
        read(tmp_path, tmp_path / "own.jsonl")


def test_labels_of_one_kind_that_are_not_names(tmp_path: Path) -> None:
    for kind, values, expected in (
        ("bool", (True, False), ["false", "true"]),
        ("whole", (1.0, 2), ["1", "2"]),
        ("large", (2**70, -1), ["-1", str(2**70)]),
    ):
        rows = [(f"text {i}", values[i % 2]) for i in range(60)]
        source = write_jsonl(tmp_path / f"{kind}.jsonl", rows)
        assert read(tmp_path / kind, source).labels == expected


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("text", [1, 2]),
        ("text", [["a"], ["b"]]),
        ("text", [1.0, None]),
        ("label", [["a"], ["b"]]),
        ("label", [0.5, 1.5]),
        ("label", [{"name": "a"}, {"name": "b"}]),
    ],
)
def test_a_parquet_column_of_another_type(tmp_path: Path, column: str, values: list[Any]) -> None:
    content = {"text": ["x", "y"], "label": ["a", "b"], column: values}
    pq.write_table(pa.table(content), tmp_path / "own.parquet")
    with pytest.raises(ErgokedroError, match=rf"{column}_column = '{column}' holds .* in own\."):
        read(tmp_path, tmp_path / "own.parquet")


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "own.jsonl.gz": gzip.compress,
    "OWN.JSONL.GZ": gzip.compress,
    "own.ndjson.bz2": bz2.compress,
    "own.json.xz": lzma.compress,
    "own.JSONL": bytes,
    "own.ndjson": bytes,
    "own.Json": bytes,
}


@pytest.mark.parametrize("as_directory", [False, True])
@pytest.mark.parametrize("name", COMPRESSED)
def test_endings(tmp_path: Path, name: str, as_directory: bool) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(COMPRESSED[name](jsonl(marked(30)).encode()))
    corpus = read(tmp_path, tmp_path / "in" if as_directory else tmp_path / "in" / name)
    assert corpus.labels == ["A", "B", "C"]
    assert sum(map(sum, (c.values() for c in counts(corpus).values()))) == 90


@pytest.mark.parametrize("indent", [None, 1])
def test_json_arrays_and_objects_of_lists(tmp_path: Path, indent: int | None) -> None:
    text, label = zip(*marked(30), strict=True)
    rows = [{"text": t, "label": c} for t, c in marked(30)]
    for name, value in (("array", rows), ("lists", {"text": text, "label": label})):
        (tmp_path / f"{name}.json").write_text(json.dumps(value, indent=indent))
        corpus = read(tmp_path / name, tmp_path / f"{name}.json")
        assert sum(corpus.rows.values()) == 90
        assert counts(corpus)["train"].keys() == {"A", "B", "C"}


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b"", b"\n\r\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("name", ["own.jsonl", "own.csv"])
def test_byte_order_marks_and_line_ends(tmp_path: Path, start: bytes, name: str) -> None:
    content = WRITERS[name](tmp_path / name, marked(30)).read_bytes()
    (tmp_path / name).write_bytes(start + content.replace(b"\r", b"").replace(b"\n", b"\r\n"))
    corpus = read(tmp_path, tmp_path / name)
    assert sum(corpus.rows.values()) == 90
    assert counts(corpus)["train"].keys() == {"A", "B", "C"}


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 146946961\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\nan, unquoted comma,A\n", "line 2: 3 cells, .* names 2 columns"),
        ("a.csv", b"text,label\nx,A\n\nx,A,\n", "line 4: 3 cells"),
        ("a.csv", b'text,label\n"a\nb",A\nx\n', "line 4: 1 cells"),
        ("a.csv", b'text,label\nx,A\n"open,A\nx,B\n', "line 3: unexpected end of data"),
        ("a.csv", b'text,label\n"x"y,A\n', "line 2: ',' expected after '\"'"),
        ("a.csv", b"text;label\nx;A\n", "no column 'text'.*commas between its columns"),
        ("a.csv", b"text,label,text\nx,A,y\n", "2 columns 'text'"),
        ("a.csv", b"x,A\ny,B\n", r"no column 'text'; it has \['x', 'A'\]"),
        ("a.csv", b"text,label\nr\xe9sum\xe9,A\n", "not valid UTF-8.*iconv -f latin1"),
        ("a.jsonl", b'{"text": "r\xe9sum\xe9", "label": "A"}\n', "line 1 is not valid UTF-8"),
        ("a.jsonl", b'{"text": "x", "label": "A"}\n{"text": "x\n', "line 2 is not JSON"),
        ("a.jsonl", b'{"text": "x"}\n{"text": "x\n\n{}\nx\n\xff\n', "Unterminated .* 2 .5, 6.;"),
        ("a.jsonl", b'{"text": "x", "label": "A"}\n"x"\n', 'line 2: "x" is not an object'),
        ("a.jsonl", b'{"text": "a \\ud83d b", "label": "A"}\n', "document 1: not valid Unicode"),
        ("a.jsonl", b'{"body": "x", "label": "A"}\n', r"no column 'text'; it has \['body', "),
        ("a.json", b'{"data": [{"text": "x", "label": "A"}]}', r"it has \['data'\]"),
        ("a.jsonl", '{"text": "x"}'.encode("utf-16"), "is UTF-16.*iconv -f utf-16"),
        ("a.csv", "text,label\n".encode("utf-16"), "is UTF-16"),
        ("a.jsonl", POINTER, "pointer of Git LFS.*git lfs pull"),
        ("a.parquet", POINTER, "pointer of Git LFS"),
        ("a.csv.gz", POINTER, "pointer of Git LFS"),
        ("a.parquet", b"PAR1 and nothing else", "cannot be read"),
        # Without the time, which would give processes of one test run different names of tests.
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}' * 99, mtime=0)[:-9], "cannot be read"),
        ("a.jsonl.gz", b"not compressed", "cannot be read"),
        ("a.jsonl", b"", "holds no document"),
        ("a.csv", b"", "holds no document"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ErgokedroError, match=message) as error:
        read(tmp_path, tmp_path / name)
    if not name.startswith("a.csv"):  # advice for CSV is for CSV alone
        assert "commas between" not in error.value.message
    assert not (tmp_path / "corpus").exists()


def test_a_split_file_without_the_label_column(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/train.jsonl", marked(20))
    (tmp_path / "in/test.jsonl").write_text('{"text": "x"}\n' * 30)
    with pytest.raises(ErgokedroError, match=r"test\.jsonl has no column 'label'"):
        read(tmp_path, tmp_path / "in")


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    write_csv(tmp_path / "in/train.csv", marked(20))
    rows = "".join(f"{i},{label},{text}\n" for i, (text, label) in enumerate(marked(9, 100)))
    (tmp_path / "in/test.csv").write_text(", label ,text\n" + rows)
    assert counts(read(tmp_path, tmp_path / "in"))["test"] == {"A": 9, "B": 9, "C": 9}
