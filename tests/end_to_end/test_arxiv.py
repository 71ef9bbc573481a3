"""Real arXiv text, where its place is known: the planted flaws, and a whole run in small.

Set ERGOKEDRO_ARXIV to a directory with the configurations `fulltext` and `abstracts`, and
ERGOKEDRO_TOKENIZER to a directory with the Pythia tokenizer.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from ergokedro.data.cleaning import clean_documents, leaked_heldout
from ergokedro.data.corpus import write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.parameters import CorpusParameters
from project import SMALL_ARXIV, Project

ARXIV = os.environ.get("ERGOKEDRO_ARXIV", "")
TOKENIZER = os.environ.get("ERGOKEDRO_TOKENIZER", "")
pytestmark = [
    pytest.mark.skipif(not ARXIV, reason="ERGOKEDRO_ARXIV does not name a copy of the corpus"),
    pytest.mark.skipif(not TOKENIZER, reason="ERGOKEDRO_TOKENIZER does not name a tokenizer"),
]


@pytest.mark.parametrize(
    ("config", "duplicates", "leaked"), [("fulltext", 38, 3), ("abstracts", 5_193, 488)]
)
def test_the_planted_flaws_are_found(
    tmp_path: Path, config: str, duplicates: int, leaked: int
) -> None:
    params = CorpusParameters(source=ARXIV, config=config)
    documents = clean_documents(write_corpus(tmp_path / "corpus", corpus_stream(params)))
    assert (documents.status == "duplicate").sum() == duplicates
    assert (documents.status == "in_heldout").sum() == leaked
    assert leaked_heldout(documents)["test"] == leaked


@pytest.mark.parametrize("config", ["fulltext"])
def test_the_real_experiment_in_small(tmp_path: Path, config: str) -> None:
    project = Project.create(tmp_path / "project")
    settings = {
        "experiment": config,
        "corpus.source": Path(ARXIV).resolve(),
        "corpus.config": config,
        "tokenizer.source": Path(TOKENIZER).resolve(),
        "mixture.total_tokens": 12_000,
        **SMALL_ARXIV,
    }
    params = ",".join(f"{key}={value}" for key, value in settings.items())
    output = project.kedro("run", "--env", "arxiv", "--params", params)
    reports = project.root / "data" / "08_reporting" / config
    table = pd.read_csv(reports / "xe_table.csv")
    assert table.k.to_list() == [1, 2, 3, 4, 5]
    assert "optimum" not in table
    assert table.xe.between(8, 12).all()  # hardly trained: near log 50,304
    inputs = project.root / "data" / "05_model_input" / config
    design = json.loads((inputs / "design.json").read_text())
    assert design["total_tokens"] == 12_000
    assert design["components"] == sorted(design["components"], key=design["tokens"].__getitem__)
    assert str(reports / "report.html") in output
