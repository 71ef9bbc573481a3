"""One tokenizer for every component: loaded from the hub or a directory, or trained."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ergokedro.data.cleaning import KEPT
from ergokedro.data.hub_repository import HubRepository
from ergokedro.data.sidecar import read_sidecar
from ergokedro.data.token_store import token_dtype
from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_directory, canonical_json, fingerprint
from ergokedro.parameters import TokenizerParameters

if TYPE_CHECKING:
    import pandas as pd
    import tokenizers

    from ergokedro.data.corpus import Corpus

log = logging.getLogger(__name__)

END_OF_TEXT = "<|endoftext|>"
_DEFINITION = "tokenizer.json"
_SIDECAR = "ergokedro.json"
# What a tokenizer can consist of, in the folder of a model whose weights are not wanted.
_FILES = ["*.json", "*.txt", "*.model", "*.tiktoken"]


@dataclass(frozen=True)
class TokenizerDefinition:
    """A tokenizer as text: the content of its `tokenizer.json` and its end-of-text token."""

    json: str
    end_of_text: str
    source: str
    revision: str | None = None  # the commit, where it comes from the hub


class Tokenizer:
    """A tokenizer on disk; a light handle that pickles as its path.

    Attributes
    ----------
    vocab_size : number of ids (the largest id + 1).
    end_of_text : id that ends every document.
    fingerprint : hash of the definition.
    revision : commit of the hub; None where it does not come from there.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        meta = read_sidecar(self.path / _SIDECAR, "tokenizer")
        self.vocab_size: int = meta["vocab_size"]
        self.end_of_text: int = meta["end_of_text"]
        self.fingerprint: str = meta["fingerprint"]
        self.source: str = meta["source"]
        self.revision: str | None = meta.get("revision")

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer, (self.path,)

    def __repr__(self) -> str:
        return f"Tokenizer({self.path}: {self.vocab_size:,} ids, from {self.source})"

    @property
    def definition(self) -> Path:
        """The `tokenizer.json`."""
        return self.path / _DEFINITION

    @cached_property
    def backend(self) -> tokenizers.Tokenizer:
        """The `tokenizers` object; it encodes special tokens that a text spells as plain text."""
        import tokenizers

        backend = tokenizers.Tokenizer.from_file(str(self.definition))
        backend.encode_special_tokens = True
        backend.no_truncation()
        backend.no_padding()
        return backend

    @cached_property
    def unknown(self) -> int | None:
        """Id of the token for what the vocabulary lacks; None if it has none."""
        model = json.loads(self.definition.read_text(encoding="utf-8"))["model"]
        if (token := model.get("unk_token")) is not None:
            number: int | None = self.backend.token_to_id(token)
            return number
        return model.get("unk_id")

    @cached_property
    def reserved(self) -> frozenset[int]:
        """Ids that no text may be given: what ends documents, and what the tokenizer would put
        around every text, such as a beginning-of-text token."""
        empty = self.backend.encode("", add_special_tokens=True)
        return frozenset(
            {self.end_of_text, *(number for number, special in _marks(empty) if special)}
        )

    @cached_property
    def before(self) -> list[int]:
        """Ids that the tokenizer would put before every text."""
        encoding = self.backend.encode("a", add_special_tokens=True)
        return [number for number, _ in takewhile(lambda mark: mark[1], _marks(encoding))]

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        """Token ids of every text, without special tokens and without truncation.

        In the type of the token store: uint16 or uint32.
        """
        encodings = self.backend.encode_batch_fast(texts, add_special_tokens=False)
        return [
            np.array(encoding.ids, dtype=token_dtype(self.vocab_size)) for encoding in encodings
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`."""
        return str(self.backend.decode(list(ids), skip_special_tokens=False))


def _marks(encoding: tokenizers.Encoding) -> Iterator[tuple[int, int]]:
    """Id of every token, and 1 where it is no text but was put around it."""
    return zip(encoding.ids, encoding.special_tokens_mask, strict=True)


def save_tokenizer(path: Path, definition: TokenizerDefinition) -> Tokenizer:
    """Write a definition to directory `path`.

    Raises
    ------
    ErgokedroError
        If the vocabulary lacks the end-of-text token, or an id stands for two tokens.
    """
    import tokenizers

    backend = tokenizers.Tokenizer.from_str(definition.json)
    vocabulary = backend.get_vocab(with_added_tokens=True)
    _check_ids(vocabulary, definition.source)
    end_of_text = backend.token_to_id(definition.end_of_text)
    if end_of_text is None:
        raise ErgokedroError(
            f"tokenizer.source = {definition.source!r} has no token {definition.end_of_text!r} to "
            "end documents with."
        )
    meta = {
        "vocab_size": max(vocabulary.values()) + 1,
        "end_of_text": end_of_text,
        "source": definition.source,
        "revision": definition.revision,
        "fingerprint": fingerprint([json.loads(definition.json), end_of_text]),
    }
    with atomic_directory(Path(path)) as work:
        (work / _DEFINITION).write_text(definition.json, encoding="utf-8")
        (work / _SIDECAR).write_bytes(canonical_json(meta))
    return Tokenizer(path)


def _check_ids(vocabulary: dict[str, int], source: str) -> None:
    """Refuse a vocabulary with gaps in which an added token was given the id of another one."""
    tokens = {number: token for token, number in vocabulary.items()}
    for token, number in vocabulary.items():
        if tokens[number] != token:
            pair = " and ".join(map(repr, sorted((token, tokens[number]), reverse=True)))
            raise ErgokedroError(
                f"tokenizer.source = {source!r} gives the id {number:,} to {pair}, so that texts "
                "could not be told apart. Choose another tokenizer, or give its added tokens ids "
                "beyond those of its vocabulary."
            )


def define_tokenizer(
    params: TokenizerParameters, corpus: Corpus, documents: pd.DataFrame
) -> TokenizerDefinition:
    """The tokenizer that `params.source` names; 'trained' trains one on the kept training text.

    Raises
    ------
    ErgokedroError
        As :func:`load_pretrained`.
    """
    if params.source == "trained":
        _check_no_revision(params.source, params.revision)
        texts = kept_texts(corpus, documents, "train")
        return TokenizerDefinition(train_bpe(texts, params.vocab_size), END_OF_TEXT, "trained")
    return load_pretrained(params.source, params.revision)


def _check_no_revision(source: str, revision: str | None) -> None:
    """Refuse a revision of what is not on the hub."""
    if revision:
        raise ErgokedroError(
            f"tokenizer.revision = {revision!r} has no effect on tokenizer.source = {source!r}; "
            "leave it out, or write tokenizer.revision=null where an environment sets it."
        )


def kept_texts(corpus: Corpus, documents: pd.DataFrame, split: str) -> Iterator[str]:
    """The texts of the kept documents of one split, in corpus order."""
    kept = iter((documents.status[documents.split == split] == KEPT).to_numpy())
    for block_split, group in corpus.blocks():
        if block_split == split:
            for text in corpus.read_block(split, group)["text"].to_pylist():
                if next(kept):
                    yield text


def train_bpe(texts: Iterable[str], vocab_size: int) -> str:
    """Train a byte-level BPE; return its `tokenizer.json`."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = Backend(models.BPE())
    # A prefix space gives a document's first word the same token as anywhere else.
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return str(backend.to_str())


def load_pretrained(
    source: str, revision: str | None, setting: str = "tokenizer.source"
) -> TokenizerDefinition:
    """Load a fast tokenizer by hub name or from a directory.

    One without an end-of-text token, such as BERT's, is given one beyond its vocabulary.

    Parameters
    ----------
    setting : that names the source; for messages.

    Raises
    ------
    ErgokedroError
        If it cannot be found or reached, or is not a fast tokenizer, or a revision is given for
        one that is not on the hub.
    """
    from transformers import AutoTokenizer

    is_local = Path(source).expanduser().is_dir()
    if is_local:
        _check_no_revision(source, revision)
    if not is_local and source.startswith((".", "/", "~")):
        raise ErgokedroError(f"{setting} = {source!r}: no such directory, seen from {Path.cwd()}.")
    path = Path(source).expanduser().resolve() if is_local else _download(source, revision)
    try:
        loaded = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except Exception as error:  # `tokenizers` raises no type of its own
        raise ErgokedroError(
            f"{setting} = {source!r} holds no tokenizer that can be loaded "
            f"({type(error).__name__}). It must hold a tokenizer.json."
        ) from error
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        raise ErgokedroError(f"{setting} = {source!r} has no fast tokenizer.")
    end_of_text = loaded.eos_token or END_OF_TEXT
    if backend.token_to_id(end_of_text) is None:
        backend.add_special_tokens([end_of_text])
        log.info("%s = %r: the end-of-text token %s is added", setting, source, end_of_text)
    commit = None if is_local else path.name
    return TokenizerDefinition(backend.to_str(), end_of_text, source, commit)


def _download(name: str, revision: str | None) -> Path:
    """The folder of a tokenizer of the hub, named by the commit."""
    repository = HubRepository("model", name, revision, "tokenizer.source")
    with repository.explained():
        return repository.download(repository.resolve(), _FILES, ignored=["*/*"])
