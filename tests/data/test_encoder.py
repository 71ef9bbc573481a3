"""The fast encoder gives the reference's ids, or is not used."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.data import encoder
from ergokedro.data.encoder import choose_encoder, encode_for_store, fast_encoder, reference_encoder
from ergokedro.data.tokenizer import (
    END_OF_TEXT,
    Tokenizer,
    TokenizerDefinition,
    save_tokenizer,
    train_bpe,
)
from ergokedro.errors import ErgokedroError

TEXTS = [
    f"Some words {i % 7}, and others\n  {i % 5} of all kinds; {'x' * (i % 9)}" for i in range(99)
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    definition = train_bpe(TEXTS, 400)
    path = tmp_path_factory.mktemp("tokenizer") / "t"
    return save_tokenizer(path, TokenizerDefinition(definition, END_OF_TEXT, "trained"))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text() | st.sampled_from([END_OF_TEXT, " " * 30, *TEXTS[:3]]), max_size=8))
def test_fast_and_reference_ids_are_equal(tokenizer: Tokenizer, texts: list[str]) -> None:
    pytest.importorskip("fastokens", reason="no wheel of fastokens for this platform")
    ids, lengths = reference_encoder(tokenizer)(texts)
    fast_ids, fast_lengths = fast_encoder(tokenizer)(texts)
    np.testing.assert_array_equal(fast_ids, ids)
    np.testing.assert_array_equal(fast_lengths, lengths)
    assert lengths.sum() == len(ids)


def test_lengths_separate_the_texts(tokenizer: Tokenizer) -> None:
    texts = ["first text", "", "the second"]
    ids, lengths = encode_for_store(
        choose_encoder(tokenizer, texts), texts, 0, tokenizer.vocab_size
    )
    assert ids.dtype == np.dtype("<u2")
    parts = np.split(ids, np.cumsum(lengths)[:-1])
    assert [tokenizer.decode(part).strip() for part in parts] == texts


def test_an_encoder_that_differs_is_not_used(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected, _ = reference_encoder(tokenizer)(["some words", "kinds"])

    def wrong(_: Tokenizer) -> encoder.Encoder:
        def encode(texts: Sequence[str]) -> encoder.Encoded:
            ids, lengths = reference_encoder(tokenizer)(texts)
            ids = ids.copy()
            ids[-1] += 1
            return ids, lengths

        return encode

    monkeypatch.setattr(encoder, "fast_encoder", wrong)
    with caplog.at_level(logging.WARNING):
        chosen = choose_encoder(tokenizer, TEXTS)
    assert "gives other ids" in caplog.text
    np.testing.assert_array_equal(chosen(["some words", "kinds"])[0], expected)


@pytest.mark.parametrize(
    ("error", "message"),
    [(ImportError("no module"), "not installed"), (ValueError("unknown model"), "unknown model")],
)
def test_without_the_fast_encoder_the_reference_is_used(
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    message: str,
) -> None:
    def missing(_: Tokenizer) -> encoder.Encoder:
        raise error

    monkeypatch.setattr(encoder, "fast_encoder", missing)
    with caplog.at_level(logging.INFO):
        chosen = choose_encoder(tokenizer, TEXTS)
    assert message in caplog.text
    np.testing.assert_array_equal(chosen(TEXTS)[0], reference_encoder(tokenizer)(TEXTS)[0])


def test_a_tokenizer_that_the_fast_encoder_cannot_take(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = {"[UNK]": 0, "alpha": 1, "beta": 2, END_OF_TEXT: 3}
    definition = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"},
    }
    saved = save_tokenizer(
        tmp_path / "t", TokenizerDefinition(json.dumps(definition), END_OF_TEXT, "words")
    )
    encode = choose_encoder(saved, ["alpha beta"])
    ids, lengths = encode(["beta alpha gamma", "", "alpha"])
    assert ids.tolist() == [2, 1, 0, 1]
    assert lengths.tolist() == [3, 0, 1]


def test_an_id_beyond_the_vocabulary_names_the_document() -> None:
    def encode(texts: Sequence[str]) -> encoder.Encoded:
        return np.array([5, 6, 700, 7], np.uint32), np.array([2, 0, 2], np.int64)

    with pytest.raises(ErgokedroError, match=r"Document 12 .*token id 700, .*ids below 700"):
        encode_for_store(encode, ["a", "", "b"], 10, 700)
