"""Categories are names, across files, shards and splits; numbers are never joined with names."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ergokedro.errors import ErgokedroError
from marked_text import (
    CATEGORIES,
    class_table,
    counts,
    documents,
    marked,
    read,
    write_csv,
    write_jsonl,
    write_parquet,
)

ABC = {"A": 9, "B": 9, "C": 9}
TEN = {"A": 10, "B": 10, "C": 10}


def three_splits(root: Path, train: list[str], heldout: list[str]) -> None:
    """Splits with class numbers of these names."""
    write_parquet(root / "train.parquet", marked(10), train)
    write_parquet(root / "validation.parquet", marked(9, 100), heldout)
    write_parquet(root / "test.parquet", marked(9, 200), heldout)


@pytest.mark.parametrize("heldout", [["C", "B", "A"], ["B", "A", "C"], ["X", "C", "A", "B"]])
def test_class_numbers_mean_what_their_own_file_says(tmp_path: Path, heldout: list[str]) -> None:
    three_splits(tmp_path / "in", ["A", "B", "C"], heldout)
    corpus = read(tmp_path, tmp_path / "in")
    assert counts(corpus) == {"train": TEN, "validation": ABC, "test": ABC}
    assert corpus.labels[:3] == ["A", "B", "C"]  # in the order of train


def test_shards_with_other_orders_and_a_class_fewer(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in/train-0.parquet", marked(10), ["A", "B", "C"])
    write_parquet(tmp_path / "in/train-1.parquet", marked(10, 20, "CA"), ["C", "A"])
    write_parquet(tmp_path / "in/validation.parquet", marked(9, 100, "BC"), ["B", "C"])
    write_parquet(tmp_path / "in/test.parquet", marked(9, 200), ["C", "B", "A"])
    table = counts(read(tmp_path, tmp_path / "in"))
    assert table["train"] == {"A": 20, "B": 10, "C": 20}
    assert table["validation"] == {"B": 9, "C": 9}
    assert table["test"] == ABC


@pytest.mark.parametrize("train", [["C", "A", "B"], None])
@pytest.mark.parametrize("test", [["B", "C", "A"], None])
def test_names_and_class_numbers_with_names_are_joined(
    tmp_path: Path, train: list[str] | None, test: list[str] | None
) -> None:
    write_parquet(tmp_path / "in/train.parquet", marked(20), train)
    write_parquet(tmp_path / "in/test.parquet", marked(9, 200), test)
    corpus = read(tmp_path, tmp_path / "in")
    assert counts(corpus)["test"] == ABC
    assert sorted(corpus.labels) == list(CATEGORIES)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((0.0, 1.0, 2.0), pa.float64()),
        ((0, 1, 2), pa.uint8()),
        (CATEGORIES, pa.dictionary(pa.int8(), pa.string())),
        (CATEGORIES, pa.large_string()),
        (CATEGORIES, pa.string_view()),
        ((b"A", b"B", b"C"), pa.binary()),
    ],
)
def test_types_of_a_label_column(
    tmp_path: Path, values: tuple[Any, ...], kind: pa.DataType
) -> None:
    rows = marked(20)
    table = class_table(rows, ["A", "B", "C"]).drop_columns(["label"])
    column = pa.array([values[CATEGORIES.index(label)] for _, label in rows], kind)
    (tmp_path / "in").mkdir()
    pq.write_table(table.append_column("label", column), tmp_path / "in/train.parquet")
    assert sum(counts(read(tmp_path, tmp_path / "in"))["train"].values()) > 0


@pytest.mark.parametrize("names", [[" A", " B", " C"], ["A", "B ", "C"], ["A\n", "B", "\tC"]])
def test_white_space_around_names_does_not_matter(tmp_path: Path, names: list[str]) -> None:
    three_splits(tmp_path / "in", names, ["C", "A", "B"])
    corpus = read(tmp_path, tmp_path / "in")
    assert counts(corpus) == {"train": TEN, "validation": ABC, "test": ABC}
    assert corpus.labels == ["A", "B", "C"]


def test_numbers_without_a_name_have_no_label(tmp_path: Path) -> None:
    table = class_table(marked(10), ["A", "B", "C"])
    numbers = [-1, 7, None, *table["label"].to_pylist()[3:]]
    table = table.set_column(1, "label", pa.array(numbers, pa.int64()))
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in/train.parquet")
    found = [label for _, _, label in documents(read(tmp_path, tmp_path / "in"))]
    assert found.count(None) == 3
    assert set(found) == {"A", "B", "C", None}


def numbered(rows: list[tuple[str, str]]) -> list[tuple[str, Any]]:
    return [(text, CATEGORIES.index(label)) for text, label in rows]


@pytest.mark.parametrize("other", ["train-2.jsonl", "test.jsonl", "test.csv"])
@pytest.mark.parametrize("first", ["train-1.jsonl", "train-1.csv", "train-1.parquet"])
def test_numbers_and_names_cannot_be_joined(tmp_path: Path, first: str, other: str) -> None:
    writers: dict[str, Callable[[Path, Any], Path]] = {
        "jsonl": write_jsonl,
        "csv": write_csv,
        "parquet": write_parquet,
    }
    writers[first.split(".")[1]](tmp_path / "in" / first, marked(10))
    writers[other.split(".")[1]](tmp_path / "in" / other, numbered(marked(10, 50)))
    with pytest.raises(ErgokedroError) as error:
        read(tmp_path, tmp_path / "in")
    assert f"{other} has the labels '0', '1', '2'" in error.value.message
    assert f"{first} has 'A', 'B', 'C'" in error.value.message
    assert not (tmp_path / "corpus").exists()


def test_numbers_alone_are_joined_whatever_their_type(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/train.jsonl", numbered(marked(20)))
    write_csv(tmp_path / "in/validation.csv", numbered(marked(9, 100)))
    test = numbered(marked(9, 200))
    numbers = pa.array([number for _, number in test], pa.float32())
    table = pa.table({"text": [text for text, _ in test], "label": numbers})
    pq.write_table(table, tmp_path / "in/test.parquet")
    corpus = read(tmp_path, tmp_path / "in")
    assert corpus.labels == ["0", "1", "2"]
    for _, text, label in documents(corpus):
        assert CATEGORIES[int(label or "")] == (text or "")[0]


def test_splits_without_a_common_category(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/train.jsonl", marked(10))
    write_jsonl(tmp_path / "in/test.jsonl", marked(10, 50, ["category-A", "category-B"]))
    with pytest.raises(ErgokedroError, match=r"'A', 'B', 'C', and test has 'category-A'"):
        read(tmp_path, tmp_path / "in")


def test_a_category_that_only_test_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_parquet(tmp_path / "in/train.parquet", marked(20, categories="AC"), ["A", "C"])
    write_parquet(tmp_path / "in/test.parquet", marked(9, 200), ["A", "B", "C"])
    with caplog.at_level(logging.WARNING):
        corpus = read(tmp_path, tmp_path / "in")
    assert counts(corpus)["test"] == ABC
    assert "categories of test without training text: 'B'" in caplog.text


CARD = """---
configs:
- config_name: one
  data_files:
  - {split: train, path: data/part-1*}
  - {split: eval, path: [data/part-2*]}
- config_name: two
  data_files: {train: other/*.jsonl}
dataset_info:
- config_name: one
  splits: [{name: train, num_examples: 7}]
  features:
  - {name: text, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': NO, '1': SE, '2': DK}}}
---
# A data set
"""


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("folder", ["in", "in [x] ü"])
def test_a_card_names_classes_and_splits(tmp_path: Path, suffix: str, folder: str) -> None:
    root = tmp_path / folder
    for name, rows in (("part-1", numbered(marked(30))), ("part-2", numbered(marked(9, 200)))):
        (root / "data").mkdir(parents=True, exist_ok=True)
        if suffix == "parquet":
            table = pa.table({"text": [t for t, _ in rows], "label": [n for _, n in rows]})
            pq.write_table(table, root / f"data/{name}.parquet")
        else:
            write_jsonl(root / f"data/{name}.jsonl", rows)
    write_jsonl(root / "other/x.jsonl", marked(1))
    (root / "README.md").write_text(CARD)
    corpus = read(tmp_path, root, config="one")
    assert corpus.labels == ["NO", "SE", "DK"]
    names = dict(zip(CATEGORIES, corpus.labels, strict=True))
    for _, text, label in documents(corpus):
        assert label == names[(text or "")[0]]
    assert corpus.rows["validation"] == 27


def test_what_a_file_says_goes_before_its_card(tmp_path: Path) -> None:
    write_parquet(tmp_path / "in/data/part-1.parquet", marked(30), ["C", "B", "A"])
    write_parquet(tmp_path / "in/data/part-2.parquet", marked(9, 200))
    (tmp_path / "in/README.md").write_text(CARD.replace("NO", "A").replace("SE", "B"))
    assert counts(read(tmp_path, tmp_path / "in", config="one"))["validation"] == ABC


@pytest.mark.parametrize(
    ("settings", "card", "message"),
    [
        ({}, CARD, "has the configurations one, two. Choose one with corpus.config"),
        ({"config": "three"}, CARD, "'three': .* it has one, two"),
        ({"config": "one"}, CARD.replace("part-2", "part-3"), r"'data/part-3\*', and there are"),
        ({"config": "one"}, CARD.replace("data_files:", "sep: ';'\n  data_files:"), "sets sep"),
        ({"config": "one"}, CARD.replace("'1': SE", "x: SE"), "not a card as the hub knows it"),
        ({"config": "one"}, "---\nconfigs: [\n---\n", "README.md cannot be read"),
        ({"config": "one"}, "no card", "it has none: leave corpus.config out"),
    ],
)
def test_mistakes_with_cards(
    tmp_path: Path, settings: dict[str, str], card: str, message: str
) -> None:
    for name in ("part-1", "part-2"):
        write_parquet(tmp_path / f"in/data/{name}.parquet", marked(9))
    (tmp_path / "in/README.md").write_text(card)
    with pytest.raises(ErgokedroError, match=message):
        read(tmp_path, tmp_path / "in", **settings)


def test_a_configuration_may_be_a_folder(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/one/train.jsonl", marked(20))
    write_jsonl(tmp_path / "in/two/train.jsonl", marked(20, categories="XY"))
    assert read(tmp_path, tmp_path / "in", config="two").labels == ["X", "Y"]


@pytest.mark.parametrize("other", ["cafe\u0301", "caf\u00e9\u200b", "\ufeffcaf\u00e9"])
def test_labels_that_look_alike_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: str
) -> None:
    rows = marked(20, categories=["caf\u00e9", other, "tea"])
    with caplog.at_level(logging.WARNING):
        corpus = read(tmp_path, write_jsonl(tmp_path / "own.jsonl", rows))
    assert len(corpus.labels) == 3
    assert "written in several Unicode forms" in caplog.text


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    for split, rows, names in (
        ("train", marked(20), ["A", "B", "C"]),
        ("test", marked(9, 200), ["C", "B", "A"]),
    ):
        folder = tmp_path / "in" / split
        folder.mkdir(parents=True)
        table = class_table(rows, names)
        with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as out:
            out.write_table(table)
        (folder / "cache-0123abc.arrow").write_bytes(b"of a map")
        (folder / "dataset_info.json").write_text(json.dumps({"features": {}}))
        (folder / "state.json").write_text(json.dumps({"_data_files": []}))
    (tmp_path / "in/dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    assert counts(read(tmp_path, tmp_path / "in"))["test"] == ABC


@pytest.mark.parametrize("values", ["numbers", "text"])
@pytest.mark.parametrize("name", ["train.jsonl", "train.csv"])
def test_a_card_names_numbers_that_are_written_as_text(
    tmp_path: Path, name: str, values: str
) -> None:
    rows = [(text, str(n) if values == "text" else n) for text, n in numbered(marked(20))]
    rows[0] = (rows[0][0], "7" if values == "text" else 7)  # has no name
    write = write_csv if name.endswith("csv") else write_jsonl
    write(tmp_path / "in" / name, rows)
    features = [{"name": "label", "dtype": {"class_label": {"names": ["NO", "SE", "DK"]}}}]
    (tmp_path / "in/README.md").write_text(
        "---\n" + json.dumps({"dataset_info": {"features": features}}) + "\n---\n"
    )
    corpus = read(tmp_path, tmp_path / "in")
    assert corpus.labels == ["NO", "SE", "DK"]
    names = dict(zip(CATEGORIES, corpus.labels, strict=True))
    labels = [(names[(text or "")[0]], label) for _, text, label in documents(corpus)]
    assert labels.count(("NO", None)) == 1
    assert all(label in (name, None) for name, label in labels)


def test_class_names_from_before_there_were_cards(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/train.jsonl", numbered(marked(20)))
    features = {"label": {"names": ["A", "B", "C"], "_type": "ClassLabel"}, "text": {}}
    infos = {"default": {"features": features}}
    (tmp_path / "in/dataset_infos.json").write_text(json.dumps(infos))
    assert counts(read(tmp_path, tmp_path / "in"))["train"].keys() == {"A", "B", "C"}


def test_labels_that_are_merged_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [(text, label + " " * (i % 2)) for i, (text, label) in enumerate(marked(20))]
    with caplog.at_level(logging.WARNING):
        corpus = read(tmp_path, write_jsonl(tmp_path / "own.jsonl", rows))
    assert corpus.labels == ["A", "B", "C"]
    assert "labels merged, white space around them aside: 'A', 'A '" in caplog.text
