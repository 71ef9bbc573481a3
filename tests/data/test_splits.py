"""Which text is held out does not depend on how a source is written, and is never trained on."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ergokedro.data.splits import assign_splits, split_named, splits_in
from ergokedro.errors import ErgokedroError
from marked_text import Row, counts, marked, read, write_csv, write_jsonl

NINE = {"A": 9, "B": 9, "C": 9}
TRAIN, HELDOUT = marked(20), marked(9, 100)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN", "train"),
        ("trainset", "train"),
        ("train_data", "train"),
        ("val", "validation"),
        ("valid", "validation"),
        ("Validation", "validation"),
        ("dev", "validation"),
        ("devel", "validation"),
        ("development", "validation"),
        ("Eval", "validation"),
        ("evaluation-set", "validation"),
        ("test", "test"),
        ("Testing", "test"),
        ("TestSet", "test"),
        ("holdout", "test"),
        ("held-out", "test"),
        ("heldOut", "test"),
        ("hold_out", "test"),
        ("trainer", None),
        ("trains", None),
        ("retrain", None),
        ("contest", None),
        ("devices", None),
        ("value", None),
        ("latest", None),
        ("protest songs", None),
        ("test pilots", None),
        ("", None),
        ("2", None),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_named(name) == split


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("my_train-00000-of-00002.jsonl", {"train"}),
        ("news.dev.csv", {"validation"}),
        ("newsTest2024.jsonl.gz", {"test"}),
        ("held_out_texts.csv", {"test"}),
        ("train_dev.csv", {"train", "validation"}),
        ("texts.csv", set()),
        ("contest_results.csv", set()),
    ],
)
def test_splits_in_names_of_files(name: str, splits: set[str]) -> None:
    assert splits_in(name) == splits


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["texts.csv"], {"train": ["texts.csv"]}),
        (["a.csv", "b.csv"], {"train": ["a.csv", "b.csv"]}),
        (["a.csv", "test.csv"], {"train": ["a.csv"], "test": ["test.csv"]}),
        (["train.csv", "x.csv", "dev.csv"],
         {"train": ["train.csv"], "validation": ["dev.csv"], "": ["x.csv"]}),
        (["train/1.csv", "held-out/1.csv"], {"train": ["train/1.csv"], "test": ["held-out/1.csv"]}),
        (["news/dev.csv", "news/train.csv"],
         {"validation": ["news/dev.csv"], "train": ["news/train.csv"]}),
        (["val.csv", "dev.csv", "train.csv"],
         {"validation": ["dev.csv", "val.csv"], "train": ["train.csv"]}),
        (["train_and_test.csv"], {"train": ["train_and_test.csv"]}),
    ],
)  # fmt: skip
def test_splits_of_files(files: list[str], expected: dict[str, list[str]]) -> None:
    assert assign_splits(files, "somewhere") == expected


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["test.csv"], "the splits \\['test'\\], but no 'train'"),
        (["dev.csv", "test.csv"], "but no 'train'"),
        (["train.csv", "train_dev.csv"], "train_dev.csv names the splits train and validation"),
        (["train.csv", "test/train-2.csv"], "test/train-2.csv names the splits test and train"),
    ],
)
def test_splits_that_cannot_be_told(files: list[str], message: str) -> None:
    with pytest.raises(ErgokedroError, match=message):
        assign_splits(files, "somewhere")


LAYOUTS = {
    "plain": ["train.jsonl", "validation.jsonl", "test.jsonl"],
    "eval": ["train.jsonl", "eval.jsonl", "test.jsonl"],
    "development": ["train.jsonl", "development.jsonl", "holdout.jsonl"],
    "capitals": ["TRAIN.JSONL", "Dev.Jsonl", "Test.JSONL"],
    "inside": ["my_train.jsonl", "my_val.jsonl", "my_test.jsonl"],
    "folders": ["train/a.jsonl", "dev/a.jsonl", "test/a.jsonl"],
    "deep": ["x/training/a.jsonl", "x/evaluation/a.jsonl", "x/held-out/a.jsonl"],
    "unnamed": ["texts.jsonl", "valid.jsonl", "testing.jsonl"],
    "mixed": ["train.csv", "dev.jsonl", "test.csv"],
}


@pytest.mark.parametrize("source", ["directory", "glob", "glob of folders"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_directory_and_a_glob_give_the_same_splits(
    tmp_path: Path, layout: str, source: str
) -> None:
    rows = (TRAIN, HELDOUT, marked(9, 200))
    for name, members in zip(LAYOUTS[layout], rows, strict=True):
        write: Callable[[Path, list[Row]], Path] = (
            write_csv if name.endswith("csv") else write_jsonl
        )
        write(tmp_path / "in" / name, members)
    pattern = {"directory": "in", "glob": "in/**/*.*", "glob of folders": "i[n]"}[source]
    table = counts(read(tmp_path, tmp_path / pattern))
    assert table == {"train": {"A": 20, "B": 20, "C": 20}, "validation": NINE, "test": NINE}


def test_every_file_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train", "dev", "val", "test", "more"):
        write_jsonl(tmp_path / f"in/{name}.jsonl", marked(9, len(name) * 10, name[0] + "A"))
    for i in range(20):
        write_jsonl(tmp_path / f"in/train-{i:02}.jsonl", marked(1, 1000 + i))
    (tmp_path / "in/notes.txt").write_text("not a document")
    with caplog.at_level(logging.INFO):
        read(tmp_path, tmp_path / "in")
    assert "validation is dev.jsonl, val.jsonl" in caplog.text
    assert "test is test.jsonl" in caplog.text
    assert "train is train-00.jsonl, train-01.jsonl" in caplog.text
    assert "train.jsonl (21 files)" in caplog.text
    assert "not read: more.jsonl. Their names name no split" in caplog.text
    assert "they hold no documents of it: notes.txt" in caplog.text


def test_a_card_counts_for_a_glob_too(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/part1.jsonl", TRAIN)
    write_jsonl(tmp_path / "in/part2.jsonl", HELDOUT)
    card = "configs:\n- config_name: x\n  data_files: {train: part1.*, test: part2.*}"
    (tmp_path / "in/README.md").write_text(f"---\n{card}\n---\n")
    for number, source in enumerate(("in", "in/*.jsonl", "in/p*")):
        table = counts(read(tmp_path / str(number), tmp_path / source))
        assert table["test"] == NINE


@pytest.mark.parametrize("empty", ["", "\n"])
@pytest.mark.parametrize("name", ["validation.jsonl", "test.jsonl"])
def test_an_empty_split_is_carved_with_a_warning(
    tmp_path: Path, name: str, empty: str, caplog: pytest.LogCaptureFixture
) -> None:
    for split in ("train", "validation", "test"):
        write_jsonl(tmp_path / f"in/{split}.jsonl", marked(30, len(split) * 100))
    (tmp_path / "in" / name).write_text(empty)
    with caplog.at_level(logging.WARNING):
        corpus = read(tmp_path, tmp_path / "in", heldout_fraction=0.2)
    split = name.split(".")[0]
    assert f"{split} is given, but holds no document" in caplog.text
    assert 5 < corpus.rows[split] < 35
    assert corpus.rows["train"] + corpus.rows[split] == 90


def test_copies_in_other_forms_are_carved_to_the_same_side(tmp_path: Path) -> None:
    rows = [
        (form, label)
        for text, label in marked(60)
        for form in (text, f"\ufeff{text}", text.replace(" ", "\u00a0"), f"{text}\r\n")
    ]
    corpus = read(tmp_path, write_jsonl(tmp_path / "own.jsonl", rows), heldout_fraction=0.3)
    assert all(n > 0 and n % 4 == 0 for n in corpus.rows.values())


# Folders of text files.


def write_folders(root: Path, layout: str, splits: dict[str, list[Row]]) -> None:
    for split, rows in splits.items():
        for number, (text, label) in enumerate(rows):
            folder = root / layout.format(split=split, label=label)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.txt").write_text(text)


@pytest.mark.parametrize("layout", ["{split}/{label}", "{split}/{label}/deep", "{label}/{split}"])
@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "dev", "test"),
        ("train", "val", "test"),
        ("training", "eval", "testing"),
        ("Train", "Validation", "Test"),
        ("TRAIN", "development", "held-out"),
        ("train_set", "valid", "holdout"),
        ("train2017", "val2017", "test2017"),
        ("train", "dev-matched", "test-matched"),
        ("train-clean-100", "dev-other", "test-clean"),
    ],
)
def test_folders_of_splits_are_no_categories(
    tmp_path: Path, layout: str, train: str, validation: str, test: str
) -> None:
    splits = {train: TRAIN, validation: HELDOUT, test: marked(9, 200)}
    write_folders(tmp_path / "in", layout, splits)
    corpus = read(tmp_path, tmp_path / "in")
    assert corpus.labels == ["A", "B", "C"]
    table = counts(corpus)
    assert table == {"train": {"A": 20, "B": 20, "C": 20}, "validation": NINE, "test": NINE}


def test_categories_may_have_names_of_splits(tmp_path: Path) -> None:
    rows = marked(30, categories=["train", "plane", "ship"])
    write_folders(tmp_path / "in", "{label}", {"": rows})
    assert read(tmp_path, tmp_path / "in").labels == ["plane", "ship", "train"]


def test_a_held_out_split_beside_the_categories(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", "{label}", {"": TRAIN})
    write_folders(tmp_path / "in", "{split}/{label}", {"test": HELDOUT})
    corpus = read(tmp_path, tmp_path / "in", heldout_fraction=1e-9)
    assert counts(corpus) == {"train": {"A": 20, "B": 20, "C": 20}, "test": NINE}


def test_a_folder_that_may_be_a_split_or_a_category(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", "{label}", {"": marked(3, categories=["docs", "src", "test"])})
    with pytest.raises(ErgokedroError, match=r"in/test has the name of a held-out split.* rename"):
        read(tmp_path, tmp_path / "in")


def test_other_folders_beside_splits_are_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    splits = {"train": TRAIN, "test": HELDOUT, "unsup": marked(3, 500, "U")}
    write_folders(tmp_path / "in", "{split}/{label}", splits)
    with caplog.at_level(logging.WARNING):
        corpus = read(tmp_path, tmp_path / "in")
    assert corpus.labels == ["A", "B", "C"]
    assert "unsup is no split" in caplog.text


def test_folders_of_held_out_text_alone(tmp_path: Path) -> None:
    write_folders(tmp_path / "in", "{split}/{label}", {"dev": TRAIN, "test": HELDOUT})
    with pytest.raises(ErgokedroError, match=r"\['test', 'validation'\], but no 'train'"):
        read(tmp_path, tmp_path / "in")


def test_links_are_followed_but_not_in_circles(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folders(tmp_path / "elsewhere", "{label}", {"": TRAIN})
    (tmp_path / "in").mkdir()
    shutil.copytree(tmp_path / "elsewhere/A", tmp_path / "in/A")
    (tmp_path / "in/B").symlink_to(tmp_path / "elsewhere/B")
    (tmp_path / "in/C").mkdir()
    (tmp_path / "in/C/inner").symlink_to(tmp_path / "elsewhere/C")
    (tmp_path / "in/A/up").symlink_to(tmp_path / "in")
    (tmp_path / "in/A/dead.txt").symlink_to(tmp_path / "nothing")
    with caplog.at_level(logging.WARNING):
        corpus = read(tmp_path, tmp_path / "in", heldout_fraction=1e-9)
    assert counts(corpus) == {"train": {"A": 20, "B": 20, "C": 20}}
    assert "1 broken links, such as" in caplog.text


def test_a_glob_follows_links_as_a_directory_does(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in/train/a.jsonl", TRAIN)
    write_jsonl(tmp_path / "elsewhere/a.jsonl", HELDOUT)
    (tmp_path / "in/test").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/train/up").symlink_to(tmp_path / "in")
    for number, source in enumerate(("in", "in/**/*.jsonl", "in/*/*.jsonl", "in/**/t*")):
        assert counts(read(tmp_path / str(number), tmp_path / source))["test"] == NINE
