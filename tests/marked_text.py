"""Small corpora whose texts say which category they belong to, so that a mix-up shows."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.parameters import CorpusParameters

CATEGORIES = ("A", "B", "C")
Row = tuple[str, str]


def marked(n: int, start: int = 0, categories: Iterable[str] = CATEGORIES) -> list[Row]:
    """`n` texts of each category that begin with its name; (text, category)."""
    return [
        (f"{category}: text {i} of {'many ' * (i % 5)}words", category)
        for i in range(start, start + n)
        for category in categories
    ]


def jsonl(rows: Iterable[tuple[Any, Any]]) -> str:
    """(text, label) as JSON Lines."""
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)


def write_jsonl(path: Path, rows: Iterable[tuple[Any, Any]]) -> Path:
    """Write (text, label) as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(jsonl(rows), encoding="utf-8")
    return path


def write_csv(path: Path, rows: Iterable[tuple[Any, Any]]) -> Path:
    """Write (text, label) as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def class_table(rows: list[Row], names: list[str]) -> pa.Table:
    """(text, category) with class numbers and the features that `datasets` writes."""
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    plain = [name.strip() for name in names]
    numbers = [plain.index(category) for _, category in rows]
    table = pa.table({"text": [text for text, _ in rows], "label": pa.array(numbers, pa.int64())})
    return table.replace_schema_metadata(metadata)


def write_parquet(path: Path, rows: list[Row], names: list[str] | None = None) -> Path:
    """Write (text, category): names as text, or numbers of classes with these names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text, label = [text for text, _ in rows], [label for _, label in rows]
    table = pa.table({"text": text, "label": label}) if names is None else class_table(rows, names)
    pq.write_table(table, path)
    return path


def read(work: Path, source: Path | str, **settings: Any) -> Corpus:
    """Read a corpus into `work`."""
    params = CorpusParameters(source=str(source), **settings)
    return write_corpus(work / "corpus", corpus_stream(params))


def documents(corpus: Corpus) -> list[tuple[str, str | None, str | None]]:
    """(split, text, label) of every document."""
    return [
        (split, row["text"], row["label"])
        for split, group in corpus.blocks()
        for row in corpus.read_block(split, group).to_pylist()
    ]


def counts(corpus: Corpus) -> dict[str, dict[str, int]]:
    """Documents by split and label, after checking that every text has the label it begins with."""
    table: dict[str, Counter[str]] = {}
    for split, text, label in documents(corpus):
        assert text is not None
        assert label == text.split(":")[0], (split, text, label)
        table.setdefault(split, Counter())[label] += 1
    return {split: dict(counter) for split, counter in table.items()}


def statuses(corpus: Corpus) -> dict[str, dict[str, int]]:
    """Documents by split and status after cleaning."""
    table = clean_documents(corpus).groupby(["split", "status"], sort=False).size()
    return {
        split: table[split].to_dict() for split in dict.fromkeys(table.index.get_level_values(0))
    }
