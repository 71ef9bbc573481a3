"""Every kind of tokenizer gives a right store: with and without marks around texts, any size."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ergokedro.data.cleaning import clean_documents
from ergokedro.data.token_store import TokenStore, token_dtype
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import (
    END_OF_TEXT,
    Tokenizer,
    TokenizerDefinition,
    define_tokenizer,
    load_pretrained,
    save_tokenizer,
)
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import TokenizerParameters
from marked_text import read, write_jsonl

WORDS = ["the", "cat", "reads", "papers", "on", "ergodic", "sources", "naive", "often"]
# The last two spell the marks that tokenizers put around texts.
TEXTS = [
    *(" ".join(WORDS[(i * j + i // 9) % 9] for j in range(1, 14)) for i in range(1, 28) if i % 3),
    "the cat <s> reads </s> papers",
    "<s></s>",
]
BEGIN, END = "<s>", "</s>"
KINDS = ("bpe", "unigram", "wordpiece", "wordlevel")
ADDED = ["<extra_0>", "<extra_1>"]


def train(kind: str, specials: list[str]) -> Any:
    """A small tokenizer of the `tokenizers` library, trained on the texts."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    common: dict[str, Any] = {"special_tokens": specials, "show_progress": False}
    byte_level, space = pre_tokenizers.ByteLevel, pre_tokenizers.Metaspace()
    parts = {
        "bpe": (
            models.BPE(),
            trainers.BpeTrainer(vocab_size=300, initial_alphabet=byte_level.alphabet(), **common),
            byte_level(add_prefix_space=False),
            decoders.ByteLevel(),
        ),
        "unigram": (
            models.Unigram(),
            trainers.UnigramTrainer(
                vocab_size=60, unk_token="<unk>", initial_alphabet=list("</s>"), **common
            ),
            space,
            decoders.Metaspace(),
        ),
        "wordpiece": (
            models.WordPiece(unk_token="<unk>"),
            trainers.WordPieceTrainer(vocab_size=90, **common),
            pre_tokenizers.Whitespace(),
            decoders.WordPiece(),
        ),
        "wordlevel": (
            models.WordLevel(unk_token="<unk>"),
            trainers.WordLevelTrainer(vocab_size=90, **common),
            pre_tokenizers.WhitespaceSplit(),
            None,
        ),
    }
    model, trainer, pre_tokenizer, decoder = parts[kind]
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizer
    if decoder is not None:
        backend.decoder = decoder
    backend.train_from_iterator(TEXTS[:-2], trainer)
    return backend


def save_source(path: Path, kind: str, *, begin: bool, end: bool, added: bool) -> None:
    """A directory as `save_pretrained` makes it."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    backend = train(kind, ["<unk>", BEGIN, *([END] if end else [])])
    if begin:
        mark = (BEGIN, backend.token_to_id(BEGIN))
        backend.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[mark]
        )
    if added:
        backend.add_tokens(ADDED)
    names = {"bos_token": BEGIN} if begin else {}
    names |= {"eos_token": END} if end else {}
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **names).save_pretrained(
        path
    )


def make_store(path: Path, tokenizer: Tokenizer, texts: list[str]) -> TokenStore:
    rows = [(text, "xy"[i % 2]) for i, text in enumerate(texts)]
    corpus = read(path, write_jsonl(path / "own.jsonl", rows), heldout_fraction=1e-9)
    plan = TokenizationPlan(corpus, clean_documents(corpus), tokenizer, 0)
    return write_store(path / "store", plan)


@pytest.mark.parametrize("source", ["trained", "."])
def test_a_revision_of_what_is_not_on_the_hub_is_refused(source: str) -> None:
    params = TokenizerParameters(source=source, revision="main")
    nothing: Any = None
    message = rf"tokenizer\.revision = 'main' has no effect on tokenizer\.source = '{source}'"
    with pytest.raises(ErgokedroError, match=message):
        define_tokenizer(params, nothing, nothing)


def test_two_tokens_of_one_id_are_refused(tmp_path: Path) -> None:
    """The trainers of `tokenizers` leave a gap where a text spells a special token."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    backend = Backend(models.WordLevel({"<unk>": 0, "cat": 2, "reads": 3}, unk_token="<unk>"))
    backend.add_tokens([END])  # whose id is the number of words, 3
    with pytest.raises(ErgokedroError, match=r"'own' gives the id 3 to 'reads' and '</s>'"):
        save_tokenizer(tmp_path / "t", TokenizerDefinition(backend.to_str(), END, "own"))
    assert not (tmp_path / "t").exists()


# Each pair of options occurs in the four combinations that are not slow.
OPTIONS = [
    pytest.param(*options, marks=pytest.mark.slow if sum(options) % 2 else ())
    for options in product([False, True], repeat=3)
]


@pytest.mark.parametrize(("begin", "end", "added"), OPTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_store_holds_texts_and_ends_alone(
    tmp_path: Path, kind: str, begin: bool, end: bool, added: bool
) -> None:
    save_source(tmp_path / "source", kind, begin=begin, end=end, added=added)
    definition = load_pretrained(str(tmp_path / "source"), None)
    assert definition.end_of_text == (END if end else END_OF_TEXT)
    tokenizer = save_tokenizer(tmp_path / "tokenizer", definition)
    store = make_store(tmp_path, tokenizer, TEXTS)

    index = store.index.to_pandas()
    assert (store.tokens == store.end_of_text).sum() == len(index) == len(TEXTS)
    if begin:
        assert tokenizer.backend.token_to_id(BEGIN) not in store.tokens
    assert int(store.tokens.max()) < store.vocab_size == tokenizer.vocab_size
    ids = tokenizer.backend.get_vocab(with_added_tokens=True)
    assert set(ids.values()) <= set(range(tokenizer.vocab_size))
    assert not added or {ids[token] for token in ADDED} <= set(range(tokenizer.vocab_size))
    for row in index.itertuples():
        tokens = store.tokens[row.offset : row.offset + row.length - 1]
        text = tokenizer.decode(tokens)
        if kind == "bpe" or tokenizer.unknown not in tokens:
            assert text.replace(" ", "") == TEXTS[row.document].replace(" ", "")
        if kind == "bpe":
            assert text == TEXTS[row.document]


def test_more_than_65535_ids_are_stored_as_uint32(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, pre_tokenizers

    words = {"<unk>": 0, END: 1, **{f"w{i}": i for i in range(2, 90_000)}}
    backend = Backend(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    definition = TokenizerDefinition(backend.to_str(), END, "own")
    tokenizer = save_tokenizer(tmp_path / "t", definition)
    texts = [" ".join(f"w{i + j}" for j in range(9)) for i in (7, 65_531, 89_000)]
    store = make_store(tmp_path, tokenizer, texts)
    assert (store.meta["format"], store.meta["dtype"]) == (2, "<u4")
    assert store.tokens.dtype == tokenizer.encode(texts)[0].dtype == np.dtype("<u4")
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], scope)
    documents = [tokenizer.decode(ids) for ids in scope["read_store"](store.path)]
    assert sorted(documents) == sorted(texts)


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_535, "<u2"), (65_536, "<u4")])
def test_the_border_between_the_types(vocab_size: int, dtype: str) -> None:
    assert token_dtype(vocab_size) == np.dtype(dtype)
