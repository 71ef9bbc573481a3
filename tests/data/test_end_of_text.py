"""The end-of-text token stands at the ends of documents alone, whatever texts spell."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.data import block_encoder
from ergokedro.data.cleaning import clean_documents
from ergokedro.data.encoder import encode_with_ends, reference_encoder, without_reserved
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import Tokenizer, TokenizerDefinition, save_tokenizer, train_bpe
from ergokedro.errors import ErgokedroError
from marked_text import read, write_jsonl

END = "</s>"
WORDS = ["a", "text", "of", "words", "which", "says", ">", "/s>", "</s", "<"]


def word_level(end: str = END, unknown: str = "[UNK]") -> dict[str, Any]:
    """Whole words; the end token is a word like others."""
    words = ["[UNK]", *WORDS, end]
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: i for i, word in enumerate(dict.fromkeys(words))},
            "unk_token": unknown,
        },
    }


def unigram() -> dict[str, Any]:
    """Pieces of any length, all characters of the texts among them."""
    letters = sorted(set("".join(WORDS)))
    vocab = [["<unk>", 0.0], [END, -1.0], ["\u2581", -2.0], *([c, -3.0] for c in letters)]
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {
            "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True
        },
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False},
    }  # fmt: skip


def bpe(special: bool, **added: bool) -> dict[str, Any]:
    """Bytes; the end token is an added one, special or not."""
    definition: dict[str, Any] = json.loads(train_bpe(["some text of words"], 300))
    definition["added_tokens"].append(
        {
            "id": 400, "content": END, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": special, **added,
        }
    )  # fmt: skip
    return definition


def lower_case() -> dict[str, Any]:
    """Other spellings become the token, too."""
    return {**word_level(), "normalizer": {"type": "Lowercase"}}


TOKENIZERS = {
    "word level": word_level(),
    "lower case": lower_case(),
    "unigram": unigram(),
    "special": bpe(special=True),
    "not special": bpe(special=False),
    "stripping": bpe(special=False, lstrip=True, rstrip=True),
    "normalized": bpe(special=False, normalized=True),
}
TEXTS = [
    f"a text {END} of words {END}",
    END,
    f"{END}{END} {END}",
    f"which says{END}of words",
    f"a {END.upper()} text",
    f"</{END}s> words",
    "a text of words",
]


def saved(path: Path, definition: dict[str, Any], end: str = END) -> Tokenizer:
    return save_tokenizer(path, TokenizerDefinition(json.dumps(definition), end, "own"))


def stored(work: Path, tokenizer: Tokenizer, texts: list[str]) -> TokenStore:
    rows = [(f"{text} {'a ' * i}", "xy"[i % 2]) for i, text in enumerate(texts)]
    corpus = read(work, write_jsonl(work / "own.jsonl", rows), heldout_fraction=1e-9)
    plan = TokenizationPlan(corpus, clean_documents(corpus), tokenizer, 0)
    return write_store(work / "store", plan)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_documents_and_end_tokens_are_as_many(tmp_path: Path, name: str) -> None:
    tokenizer = saved(tmp_path / "tokenizer", TOKENIZERS[name])
    store = stored(tmp_path, tokenizer, [*TEXTS, *["a text of words"] * 20])
    ends = np.flatnonzero(store.tokens == store.end_of_text)
    index = store.index.to_pandas()
    assert store.index.num_rows == len(TEXTS) + 20
    np.testing.assert_array_equal(ends, index.offset + index.length - 1)
    assert (index.length > 1).all()


@pytest.mark.parametrize("name", ["special", "not special", "unigram"])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([END, "<", "/", "s", ">", " ", "words"]), max_size=12))
def test_pieces_keep_the_text(
    tmp_path_factory: pytest.TempPathFactory, name: str, parts: list[str]
) -> None:
    tokenizer = saved(tmp_path_factory.mktemp("tokenizer") / "t", TOKENIZERS[name])
    text = "".join(parts)
    encode = without_reserved(reference_encoder(tokenizer), tokenizer)
    ids, lengths = encode([text, "words", text])
    assert tokenizer.end_of_text not in ids
    assert lengths.sum() == len(ids)
    assert lengths[0] == lengths[2]
    own, ends = encode_with_ends(text, tokenizer)
    np.testing.assert_array_equal(own, ids[: lengths[0]])
    for end in {0, *ends.tolist()}:  # a space before the text ends with its first character
        spelled = tokenizer.decode(own[ends <= end]).replace("\u2581", "")
        assert spelled.replace(" ", "") == text[:end].replace(" ", "")


@pytest.mark.parametrize(
    ("definition", "end"),
    [
        (word_level(end=">"), ">"),  # a character of the text
        (word_level(), "[UNK]"),  # what stands for all that is unknown
    ],
)
def test_an_end_token_that_texts_cannot_do_without(
    tmp_path: Path, definition: dict[str, Any], end: str
) -> None:
    tokenizer = saved(tmp_path / "tokenizer", definition, end)
    with pytest.raises(ErgokedroError, match="documents could not be told apart"):
        stored(tmp_path, tokenizer, ["a text > of words", "ö"])


def test_end_tokens_are_counted_when_the_store_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = saved(tmp_path / "tokenizer", word_level())
    monkeypatch.setattr(block_encoder, "without_reserved", lambda encode, _: encode)
    with pytest.raises(ErgokedroError, match="30 end-of-text tokens for 27 documents"):
        stored(tmp_path, tokenizer, [f"{END} a {END}", END, *["a text of words"] * 25])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [(0, None), (4, None), (6, "warning"), (24, "warning"), (26, "error")],
)
def test_the_share_of_unknown_tokens(
    tmp_path: Path, unknown: int, expected: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 50 tokens, beside one end of text per document."""
    tokenizer = saved(tmp_path / "tokenizer", word_level())
    words = ["unheard"] * unknown + ["text"] * (50 - unknown)
    rows = [(" ".join(words[i::2]), "xy"[i]) for i in range(2)]
    corpus = read(tmp_path, write_jsonl(tmp_path / "own.jsonl", rows), heldout_fraction=1e-9)
    plan = TokenizationPlan(corpus, clean_documents(corpus), tokenizer, 0)
    with caplog.at_level(logging.WARNING):
        if expected == "error":
            with pytest.raises(ErgokedroError, match=r"52\.0% of the tokens are the unknown"):
                write_store(tmp_path / "store", plan)
            assert not (tmp_path / "store").exists()
            return
        write_store(tmp_path / "store", plan)
    said = f"{unknown / 50:.1%} of the tokens are the unknown token" in caplog.text
    assert said == (expected == "warning")


def test_a_tokenizer_without_a_token_for_the_unknown(tmp_path: Path) -> None:
    tokenizer = saved(tmp_path / "tokenizer", word_level(unknown="[NONE]"))
    with pytest.raises(ErgokedroError, match="'own' cannot encode the corpus"):
        stored(tmp_path, tokenizer, ["unheard", "of"])


def test_documents_without_a_token(tmp_path: Path) -> None:
    remove = {"type": "Replace", "pattern": {"Regex": "x.*"}, "content": ""}
    definition = {**bpe(special=True), "normalizer": remove}
    tokenizer = saved(tmp_path / "tokenizer", definition)
    with pytest.raises(ErgokedroError, match=r"75\.0% of the documents have no token"):
        stored(tmp_path, tokenizer, ["x of words", "x text", "x says", "a text"])
