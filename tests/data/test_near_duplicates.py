"""Near-duplicates: found as brute force finds them, held-out text is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ergokedro.data import near_duplicates
from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.documents import SCHEMA
from ergokedro.data.near_duplicates import (
    COLUMNS,
    choose_bands,
    find_near_duplicates,
    none_found,
    shingle_hashes,
)
from ergokedro.data.sources import CorpusStream, OpenCorpus
from ergokedro.parameters import CorpusParameters
from ergokedro.pipelines.data_processing import nodes
from ergokedro.runtime.hooks import cleaning_metrics

Rows = list[tuple[str, str, str]]


def make_corpus(path: Path, rows: Rows) -> Corpus:
    """A corpus of (split, text, label), in the order of the splits."""
    batches = [(s, pa.record_batch([[text], [label]], schema=SCHEMA)) for s, text, label in rows]
    stream = CorpusStream({}, lambda: OpenCorpus(None, [], iter(batches)))
    return write_corpus(path, stream)


def words(seed: int, n: int = 300) -> list[str]:
    return [f"w{number}" for number in np.random.default_rng(seed).integers(0, 5000, n)]


def changed(text: list[str], places: list[int]) -> str:
    """The text with other words at `places`; each change breaks five shingles."""
    return " ".join(f"new{i}" if i in places else word for i, word in enumerate(text))


@pytest.fixture
def rows() -> Rows:
    a, b, c, d = (words(seed) for seed in range(4))
    return [
        ("train", " ".join(a), "x"),  # 0: near validation's
        ("train", " ".join(b), "x"),  # 1: the first of its kind
        ("train", changed(b, [10]), "y"),  # 2: near 1, in another category
        ("train", changed(c, list(range(0, 300, 8))), "x"),  # 3: too far from 4
        ("train", " ".join(c), "x"),  # 4
        ("train", changed(b, [10, 40, 80]), "x"),  # 5: near 1 (and near 2, which is dropped)
        ("train", " ".join(b[:50]), "x"),  # 6: a sixth of 1
        ("train", "!!! ???", "x"),  # 7: no word
        ("train", "... ---", "y"),  # 8: no word
        ("validation", changed(a, [100, 200]), "y"),  # 9
        ("validation", " ".join(d), "x"),  # 10
        ("test", changed(d, [7]), "x"),  # 11: near validation's, stays
        ("test", changed(b, list(range(0, 300, 4))), "x"),  # 12
    ]


def test_who_goes_and_who_stays(tmp_path: Path, rows: Rows) -> None:
    corpus = make_corpus(tmp_path / "corpus", rows)
    before = clean_documents(corpus)
    assert (before.status == "kept").all()
    documents, found = find_near_duplicates(corpus, before, 0.8, drop=True)
    assert documents.status[documents.status != "kept"].to_dict() == {
        0: "near_heldout",
        2: "near_duplicate",
        5: "near_duplicate",
    }
    assert found.columns.to_list() == COLUMNS
    pairs = found[["document", "near_document", "reason", "dropped"]].to_numpy().tolist()
    assert pairs == [
        [0, 9, "near_heldout", True],
        [2, 1, "near_duplicate", True],
        [5, 1, "near_duplicate", True],
        [11, 10, "within_heldout", False],
    ]
    first = found.iloc[0]
    assert (first.split, first.label, first.near_split, first.near_label) == (
        "train", "x", "validation", "y",
    )  # fmt: skip
    assert first.text == rows[0][1][:80]
    assert len(first.near_text) == 80

    same, reported = find_near_duplicates(corpus, before, 0.8)
    pd.testing.assert_frame_equal(same, before)
    pd.testing.assert_frame_equal(reported.drop(columns="dropped"), found.drop(columns="dropped"))
    assert not reported.dropped.any()


def test_similarity_is_that_of_the_shingles(tmp_path: Path) -> None:
    text = words(0, 400)
    rows = [("train", " ".join(text), "x"), ("train", changed(text, [20, 50, 80]), "y")]
    corpus = make_corpus(tmp_path / "corpus", rows)
    sets = [set(shingle_hashes(row[1]).tolist()) for row in rows]
    exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    assert exact == pytest.approx((396 - 15) / (396 + 15))
    _, found = find_near_duplicates(corpus, clean_documents(corpus), 0.5)
    assert found.similarity[0] == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 128))


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_find_what_comparing_all_pairs_finds(threshold: float) -> None:
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 2**32, (600, 128), dtype=np.uint32)
    for row in range(300, 600):  # each agrees with another in a share of its places
        share = rng.random(128) < rng.uniform(threshold - 0.3, 1)
        signatures[row, share] = signatures[row - 300, share]
    heldout = np.zeros(600, dtype=bool)
    agree = (signatures[300:] == signatures[:300]).mean(axis=1)
    pairs = near_duplicates._nearest_earlier(signatures, heldout, threshold)
    found = {i: (j, s) for i, j, s in pairs}
    expected = {300 + i: (i, s) for i, s in enumerate(agree) if s >= threshold}
    assert found.items() <= expected.items()
    assert len(found) >= 0.99 * len(expected) > 60


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95, 1.0])
def test_bands_find_pairs_at_the_threshold(threshold: float) -> None:
    bands, width = choose_bands(threshold)
    assert bands * width <= 128
    assert 1 - (1 - threshold**width) ** bands >= 0.99


def test_shingles() -> None:
    assert len(shingle_hashes("one two three four five six")) == 2
    assert len(shingle_hashes("One, two: THREE (four) five!")) == 1
    assert (shingle_hashes("a b c d e") == shingle_hashes("A  b, c; d\ne")).all()
    assert not (shingle_hashes("a b c d e") == shingle_hashes("e d c b a")).any()
    assert len(shingle_hashes("two words")) == 1
    assert len(shingle_hashes(" ?! ")) == 0
    # Signatures of a corpus stay the same from version to version.
    assert shingle_hashes("the same on every machine, always").tolist() == [3016183246, 3595136381]


def test_long_documents_are_hashed_in_parts(
    tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = make_corpus(tmp_path / "corpus", rows)
    documents = clean_documents(corpus)
    _, whole = find_near_duplicates(corpus, documents, 0.8)
    monkeypatch.setattr(near_duplicates, "_CALL_SHINGLES", 7)
    _, parts = find_near_duplicates(corpus, documents, 0.8)
    pd.testing.assert_frame_equal(whole, parts)


def test_by_default_real_text_is_searched(
    tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = make_corpus(tmp_path / "corpus", rows)
    caplog.set_level("INFO")
    real = CorpusParameters(source=str(tmp_path))
    documents, found = nodes.clean_documents(corpus, real)
    assert (len(found), found.dropped.any()) == (4, False)
    assert (documents.status == "kept").all()
    across = int((found.label != found.near_label).sum())
    assert f"4 near-duplicates, {across} of them across categories" in caplog.text
    assert across > 0
    assert nodes.clean_documents(corpus, CorpusParameters())[1].empty  # synthetic
    monkeypatch.setattr(near_duplicates, "LARGEST_BY_DEFAULT", corpus.size - 1)
    assert nodes.clean_documents(corpus, real)[1].empty
    assert "corpus.near_duplicates=report looks for them" in caplog.text
    text = sum(len(text) for _, text, _ in rows)
    assert text < corpus.size < 2 * text


def test_the_setting_decides(tmp_path: Path, rows: Rows) -> None:
    corpus = make_corpus(tmp_path / "corpus", rows)
    outcomes = {
        mode: nodes.clean_documents(corpus, CorpusParameters(near_duplicates=mode))
        for mode in ("off", "report", "drop")
    }
    assert [len(found) for _, found in outcomes.values()] == [0, 4, 4]
    dropped = [(documents.status != "kept").sum() for documents, _ in outcomes.values()]
    assert dropped == [0, 0, 3]
    assert cleaning_metrics(*outcomes["drop"]) == {
        "cleaning/kept": 10,
        "cleaning/unknown_label": 0,
        "cleaning/empty": 0,
        "cleaning/in_heldout": 0,
        "cleaning/duplicate": 0,
        "cleaning/near_heldout": 1,
        "cleaning/near_duplicate": 2,
        "cleaning/listed_within_heldout": 1,
    }
    assert cleaning_metrics(*outcomes["report"])["cleaning/listed_near_duplicate"] == 2


def test_nothing_to_find(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", [("train", "one", "x"), ("test", "two", "y")])
    documents, found = find_near_duplicates(corpus, clean_documents(corpus), 0.8, drop=True)
    assert (documents.status == "kept").all()
    assert found.columns.to_list() == none_found().columns.to_list() == COLUMNS
    assert found.empty
