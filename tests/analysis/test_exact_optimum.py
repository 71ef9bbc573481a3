"""The exact optimum of stored windows: from tokens back to words to the theory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.bayes_mixture import mixture_nll
from ergokedro.analysis.exact_optimum import exact_nll
from ergokedro.data.hmm import position_nll
from ergokedro.data.synthetic import iter_documents, make_sources, vocabulary, word_ids
from ergokedro.data.tokenizer import (
    END_OF_TEXT,
    Tokenizer,
    TokenizerDefinition,
    save_tokenizer,
    train_bpe,
)
from ergokedro.design.mixture import Design
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters, SyntheticParameters

LENGTH = 20
PARAMS = CorpusParameters(
    synthetic=SyntheticParameters(components=3, words_per_document=50, heldout_documents=2)
)


class Store:
    """What the function reads of a token store."""

    fingerprint = "store"

    def __init__(self, tokens: np.ndarray):
        self.tokens = tokens


@pytest.fixture(scope="module")
def documents() -> list[tuple[str, str]]:
    return list(iter_documents(PARAMS.synthetic, "test"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory, documents: list) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer") / "t", documents, 400)


def make_tokenizer(path: Path, documents: list[tuple[str, str]], size: int) -> Tokenizer:
    definition = train_bpe([text for text, _ in documents], size)
    return save_tokenizer(path, TokenizerDefinition(definition, END_OF_TEXT, "trained"))


def make_case(
    tokenizer: Tokenizer, documents: list[tuple[str, str]]
) -> tuple[Store, pd.DataFrame, Design]:
    encoded = tokenizer.encode([text for text, _ in documents])
    ended = [np.append(each, tokenizer.end_of_text) for each in encoded]
    offsets = np.cumsum([0, *map(len, ended)])[:-1]
    windows = pd.DataFrame(
        {
            "split": "test",
            "component": [label for _, label in documents],
            "document": range(len(documents)),
            "start": offsets + 7,
        }
    )
    names = list(dict.fromkeys(windows.component))
    design = Design(
        # Not in the order of the sources: a design orders them by volume.
        components=names[::-1],
        tokens=dict.fromkeys(names, 100),
        available_windows=dict.fromkeys(names, 5),
        total_tokens=60,
        window_length=LENGTH,
        within_documents=False,
        chosen_by="tokens",
        rankings={"tokens": names, "documents": names},
        reason="",
        store="store",
        tokenizer="tokenizer",
    )
    return Store(np.concatenate(ended)), windows, design


def test_equals_the_theory_on_the_words_of_the_text(
    tokenizer: Tokenizer, documents: list[tuple[str, str]]
) -> None:
    store, windows, design = make_case(tokenizer, documents)
    exact = exact_nll(store, tokenizer, windows, design, PARAMS)  # type: ignore[arg-type]
    names = vocabulary(PARAMS.synthetic.words)
    words = np.stack([word_ids(text, names)[7 : 7 + LENGTH] for text, _ in documents])
    nll = np.stack([position_nll(source, words) for source in make_sources(PARAMS.synthetic)])
    for name, each in zip(["source-1", "source-2", "source-3"], nll, strict=True):
        np.testing.assert_allclose(exact.nll[f"test/{name}"], each[:, 1:], rtol=1e-6)
    # K = 2 reads the first two components of the design: sources 3 and 2.
    two = mixture_nll(nll[[2, 1]], np.array([0.5, 0.5]))[:, 1:]
    np.testing.assert_allclose(exact.nll["test/k2"], two, rtol=1e-6)
    np.testing.assert_allclose(exact.nll["test/k1"], exact.nll["test/source-3"], rtol=1e-6)
    assert exact.meta.available


def test_words_of_several_tokens_are_refused(
    tmp_path: Path, documents: list[tuple[str, str]]
) -> None:
    small = make_tokenizer(tmp_path / "small", documents, 270)
    store, windows, design = make_case(small, documents)
    with pytest.raises(ErgokedroError, match="vocab_size"):
        exact_nll(store, small, windows, design, PARAMS)  # type: ignore[arg-type]


def test_real_corpora_have_none(tokenizer: Tokenizer, documents: list[tuple[str, str]]) -> None:
    store, windows, design = make_case(tokenizer, documents)
    real = PARAMS.model_copy(update={"source": "papers.parquet"})
    exact = exact_nll(store, tokenizer, windows, design, real)  # type: ignore[arg-type]
    assert not exact.nll
    assert not exact.meta.available


def test_windows_of_another_store_are_refused(
    tokenizer: Tokenizer, documents: list[tuple[str, str]]
) -> None:
    store, windows, design = make_case(tokenizer, documents)
    other = design.model_copy(update={"store": "other"})
    with pytest.raises(ErgokedroError, match="kedro run --pipelines mixture_design"):
        exact_nll(store, tokenizer, windows, other, PARAMS)  # type: ignore[arg-type]
