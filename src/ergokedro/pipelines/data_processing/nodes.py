"""Nodes from the corpus's source to the token store. Streams are consumed when they are saved."""

from __future__ import annotations

import logging

import pandas as pd

from ergokedro.data.cleaning import clean_documents as clean
from ergokedro.data.corpus import Corpus
from ergokedro.data.near_duplicates import find_near_duplicates, none_found, search_mode
from ergokedro.data.sources import CorpusStream, corpus_stream
from ergokedro.data.tokenization import TokenizationPlan
from ergokedro.data.tokenizer import Tokenizer, TokenizerDefinition, define_tokenizer
from ergokedro.parameters import CorpusParameters, TokenizerParameters

log = logging.getLogger(__name__)


def fetch_corpus(params: CorpusParameters) -> CorpusStream:
    """Open the labelled documents that the parameters name."""
    return corpus_stream(params)


def clean_documents(corpus: Corpus, params: CorpusParameters) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decide for each document whether it is used, and if not, why; list near-duplicates."""
    documents = clean(corpus)
    mode = search_mode(params.near_duplicates, params.source, corpus)
    if mode == "off":
        return documents, none_found()
    threshold = params.near_duplicate_threshold
    documents, pairs = find_near_duplicates(corpus, documents, threshold, mode == "drop")
    log.info(
        "%d near-duplicates, %d of them across categories: see near_duplicates.csv",
        len(pairs),
        (pairs.label != pairs.near_label).sum(),
    )
    return documents, pairs


def prepare_tokenizer(
    corpus: Corpus, documents: pd.DataFrame, params: TokenizerParameters
) -> TokenizerDefinition:
    """Load the tokenizer, or train it on the kept training text."""
    return define_tokenizer(params, corpus, documents)


def tokenize_corpus(
    corpus: Corpus, documents: pd.DataFrame, tokenizer: Tokenizer, params: CorpusParameters
) -> TokenizationPlan:
    """Put together what the token store is made from."""
    return TokenizationPlan(
        corpus,
        documents,
        tokenizer,
        params.document_order_seed,
        params.max_tokens_per_category,
        params.processes,
    )
