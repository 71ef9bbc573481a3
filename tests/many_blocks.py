"""A corpus of many small blocks, for tests of encoding in several places."""

from __future__ import annotations

from pathlib import Path

import pytest

from ergokedro.data import corpus as corpus_cache
from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenization import TokenizationPlan
from ergokedro.data.tokenizer import END_OF_TEXT, TokenizerDefinition, save_tokenizer, train_bpe
from ergokedro.parameters import CorpusParameters
from marked_text import marked, write_jsonl


def plan_of_many_blocks(path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenizationPlan:
    """A plan for one process, whose corpus has more than twelve blocks."""
    monkeypatch.setattr(corpus_cache, "BLOCK_ROWS", 40)
    rows = marked(200)
    params = CorpusParameters(source=str(write_jsonl(path / "texts.jsonl", rows)))
    corpus = write_corpus(path / "corpus", corpus_stream(params))
    assert len(corpus.blocks()) > 12
    definition = TokenizerDefinition(train_bpe((t for t, _ in rows), 300), END_OF_TEXT, "trained")
    tokenizer = save_tokenizer(path / "tokenizer", definition)
    return TokenizationPlan(corpus, clean_documents(corpus), tokenizer, 0)


def files_of(store: TokenStore) -> dict[str, bytes]:
    """The content of all files of a store."""
    return {file.name: file.read_bytes() for file in store.path.iterdir()}
