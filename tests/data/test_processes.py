"""Work in several processes: the same results, and a clear error where one of them is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ergokedro.data import corpus as corpus_cache
from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import write_corpus
from ergokedro.data.processes import map_in_processes
from ergokedro.data.sources import corpus_stream
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import END_OF_TEXT, TokenizerDefinition, save_tokenizer, train_bpe
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters
from marked_text import marked, write_jsonl


@pytest.mark.slow
def test_the_store_is_that_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_cache, "BLOCK_ROWS", 40)
    rows = marked(200)
    params = CorpusParameters(source=str(write_jsonl(tmp_path / "texts.jsonl", rows)))
    corpus = write_corpus(tmp_path / "corpus", corpus_stream(params))
    assert len(corpus.blocks()) > 12
    definition = TokenizerDefinition(train_bpe((t for t, _ in rows), 300), END_OF_TEXT, "trained")
    tokenizer = save_tokenizer(tmp_path / "tokenizer", definition)
    documents = clean_documents(corpus)
    files = []
    for processes in (1, 3):
        plan = TokenizationPlan(corpus, documents, tokenizer, 0, processes=processes)
        store = write_store(tmp_path / f"store{processes}", plan)
        files.append({file.name: file.read_bytes() for file in store.path.iterdir()})
    assert files[0] == files[1]


@pytest.mark.slow
def test_a_killed_process_is_one_clear_error() -> None:
    with pytest.raises(ErgokedroError, match=r"corpus\.processes = 2 was killed.*Lower"):
        list(map_in_processes(os._exit, [9, 9], 2))
