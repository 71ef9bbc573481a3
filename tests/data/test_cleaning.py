"""Held-out text stays held out and counts once; what is doubtful is said."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from ergokedro.data.cleaning import clean_documents, near_equal
from ergokedro.errors import ErgokedroError
from marked_text import Row, jsonl, marked, read, statuses, write_jsonl

FORMS: dict[str, Callable[[str], str]] = {
    "the same": str,
    "byte order mark": lambda text: "\ufeff" + text,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "ligatures": lambda text: text.replace("ffi", "\ufb03"),
    "no ligatures": lambda text: unicodedata.normalize("NFKC", text),
    "other spaces": lambda text: text.replace(" ", "\u00a0\u2009"),
    "line breaks": lambda text: text.replace(" ", "\r\n"),
    "zero-width spaces": lambda text: text.replace("o", "o\u200b"),
    "soft hyphens": lambda text: text.replace("t", "t\u00ad"),
}


def texts(n: int, start: int = 0) -> list[Row]:
    return [
        (f"{text} of\ufb01ces office na\u00efve nai\u0308ve", c) for text, c in marked(n, start)
    ]


def write_splits(root: Path, **splits: list[Row]) -> Path:
    for split, rows in splits.items():
        write_jsonl(root / f"{split}.jsonl", rows)
    return root


@pytest.mark.parametrize("form", FORMS)
def test_a_held_out_text_in_another_form_leaves_train(tmp_path: Path, form: str) -> None:
    heldout = texts(9, 100)
    leaked = [(FORMS[form](text), label) for text, label in heldout]
    root = write_splits(
        tmp_path / "in", train=[*texts(20), *leaked], test=heldout, validation=texts(9, 200)
    )
    table = statuses(read(tmp_path, root))
    assert table["train"] == {"kept": 60, "in_heldout": 27}
    assert table["test"] == {"kept": 27}


def test_a_byte_order_mark_of_the_file_does_not_hide_a_text(tmp_path: Path) -> None:
    write_splits(tmp_path / "in", train=texts(20), test=texts(9, 100), validation=texts(9, 200))
    for name in ("train", "test"):
        rows = texts(1, 500)
        file = tmp_path / f"in/{name}.jsonl"
        mark = "\ufeff" if name == "train" else ""
        file.write_text(mark + jsonl(rows) + file.read_text(), encoding="utf-8")
    assert statuses(read(tmp_path, tmp_path / "in"))["train"]["in_heldout"] == 3


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("form", FORMS)
def test_a_held_out_text_counts_once(
    tmp_path: Path, split: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    splits = {"train": texts(20), "validation": texts(9, 100), "test": texts(9, 200)}
    text, label = splits[split][0]
    splits[split] = [*splits[split], *[(FORMS[form](text), label)] * 29]
    with caplog.at_level(logging.WARNING):
        table = statuses(read(tmp_path, write_splits(tmp_path / "in", **splits)))
    assert table[split] == {"kept": 27, "duplicate": 29}
    assert table["train"] == {"kept": 60}
    assert "29 held-out documents are copies; a text counts once" in caplog.text


def test_validation_equal_to_test_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_splits(
        tmp_path / "in", train=texts(20), validation=texts(9, 100), test=texts(12, 94)
    )
    with caplog.at_level(logging.WARNING):
        table = statuses(read(tmp_path, root))
    assert "18 of 27 validation documents also stand in test" in caplog.text
    assert (table["validation"], table["test"]) == ({"kept": 27}, {"kept": 36})


def test_a_text_under_two_categories_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = [(f"a text {i} of both", label) for i in range(7) for label in "BA"]
    rows = [*texts(20), *both]
    root = write_splits(tmp_path / "in", train=rows, validation=texts(9, 50), test=texts(9, 70))
    with caplog.at_level(logging.WARNING):
        documents = clean_documents(read(tmp_path, root))
    assert "7 texts stand under more than one category" in caplog.text
    kept = documents[(documents.split == "train") & (documents.status == "kept")]
    assert kept.label.value_counts().to_dict() == {"A": 20, "B": 27, "C": 20}  # the first stays


def test_nothing_is_said_of_a_clean_corpus(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    splits = {"train": texts(20), "validation": texts(9, 100), "test": texts(9, 200)}
    root = write_splits(tmp_path / "in", **splits)
    with caplog.at_level(logging.WARNING):
        table = statuses(read(tmp_path, root))
    assert all(set(counts) == {"kept"} for counts in table.values())
    assert caplog.text == ""


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_that_cleaning_empties(tmp_path: Path, split: str) -> None:
    splits = {"train": texts(9), "validation": texts(9, 100), "test": texts(9, 200)}
    splits[split] = [(" \n", label) for _, label in splits[split]]
    root = write_splits(tmp_path / "in", **splits)
    with pytest.raises(ErgokedroError, match=rf"left no document of {split} \(27 empty\)"):
        clean_documents(read(tmp_path, root))


def test_labels_that_are_nearly_equal_are_pointed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    groups = near_equal(
        ["en", "de", "EN", "en ", "e\u0301t", "\u00e9t", "Straße", "STRASSE", "e n"]
    )
    assert groups == [["EN", "e n", "en", "en "], ["e\u0301t", "\u00e9t"], ["STRASSE", "Straße"]]
    assert near_equal(["a", "b", "a_", "a-"]) == []
    rows = [(f"{label} {n} text", label) for label in ("en", "EN", "de") for n in range(3)]
    for split in ("train", "validation", "test"):
        write_jsonl(tmp_path / "in" / f"{split}.jsonl", [(f"{t} of {split}", c) for t, c in rows])
    clean_documents(read(tmp_path, tmp_path / "in"))
    (warning,) = [m for m in caplog.messages if "alone" in m]
    assert "the categories 'EN' and 'en' differ in letter case, spaces or Unicode form" in warning
