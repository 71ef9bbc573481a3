"""Published models, measured on the evaluation windows of an experiment and not trained.

Where the tokenizer of a model gives other tokens than the store has, the model reads its own tokens
of the same characters; see :mod:`ergokedro.design.text_windows`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ergokedro.data.corpus import Corpus
from ergokedro.data.encoder import encode_with_ends
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer, load_pretrained, save_tokenizer
from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.nll import ReferenceNLL, find_nll, save_nll
from ergokedro.design.records import NLLFingerprints, Reference, ReferenceMeta
from ergokedro.design.text_windows import TextWindow, text_window
from ergokedro.errors import ErgokedroError
from ergokedro.models.published import load_published, locate
from ergokedro.models.transformers_models.modules import TransformersModel
from ergokedro.models.weights import n_parameters, weights_fingerprint
from ergokedro.progress import progress_bar
from ergokedro.training.device import choose_device
from ergokedro.training.evaluation import batch_nll
from ergokedro.training.identity import versions

log = logging.getLogger(__name__)


def open_reference(name: str) -> Reference:
    """Find a published model, and check that it and its tokenizer can be read.

    Parameters
    ----------
    name : an entry of the setting `references`.

    Raises
    ------
    ErgokedroError
        If one of them is missing or cannot be read.
    """
    directory, revision = locate(name)
    model = load_published(directory, name)
    reference = Reference(
        name=name,
        directory=str(directory),
        revision=revision,
        model_type=model.config["model_type"],
        parameters=n_parameters(model),
        weights=weights_fingerprint(model),
    )
    with _reader(reference, model):
        return reference


@dataclass(frozen=True)
class _Reader:
    """A published model with its tokenizer.

    Attributes
    ----------
    before : ids that the model reads before every text, such as a beginning-of-text token.
    """

    model: TransformersModel
    tokenizer: Tokenizer
    before: list[int]


@contextmanager
def _reader(reference: Reference, model: TransformersModel) -> Iterator[_Reader]:
    """The model with its tokenizer, whose files exist as long as the block runs."""
    definition = load_pretrained(reference.directory, None, "references")
    with TemporaryDirectory() as folder:
        tokenizer = save_tokenizer(Path(folder) / "tokenizer", definition)
        yield _Reader(model, tokenizer, tokenizer.before)


def evaluate_reference(
    reference: Reference,
    corpus: Corpus,
    store: TokenStore,
    tokenizer: Tokenizer,
    windows: pd.DataFrame,
    window_length: int,
    *,
    batch_size: int = 64,
    device: str = "auto",
    kept: Path | None = None,
) -> ReferenceNLL:
    """Measure the NLL of every evaluation window.

    Parameters
    ----------
    corpus, tokenizer : that the store was made from.
    windows : columns split, document, start and document_offset.
    batch_size : windows per forward pass.
    device : as the setting `training.device`.
    kept : file in which equal code keeps its measurement, or None to keep nothing.

    Returns
    -------
    Per split float32 (windows of the split, window_length - 1), nats, in the order of `windows`,
    for each token of the store.

    Raises
    ------
    ErgokedroError
        If the corpus is not that of the store, or the model cannot be read any more.
    """
    _check_corpus(corpus, store)
    reference = _on_this_machine(reference)
    model = load_published(Path(reference.directory), reference.name)
    with _reader(reference, model) as reader:
        same = _gives_same_tokens(reader, corpus, store, windows)
        meta = _meta(reference, store, windows, same)
        if kept and (earlier := find_nll(kept, meta)):
            log.info("%s is evaluated already and is not evaluated again", reference.name)
            return earlier
        log.info("%s: %s", reference.name, _TOKENS_READ[same])
        windows = windows.reset_index(drop=True)
        texts = (
            _store_windows(reader, store, windows, window_length)
            if same
            else _text_windows(reader, corpus, tokenizer, windows, window_length)
        )
        model.to(choose_device(device))
        nll = _measure(reader, texts, (len(windows), window_length - 1), batch_size, reference.name)
    rows_of = windows.groupby("split").indices
    arrays = ReferenceNLL({str(split): nll[rows] for split, rows in rows_of.items()}, meta)
    if kept:
        save_nll(kept, arrays)
    return arrays


def _check_corpus(corpus: Corpus, store: TokenStore) -> None:
    """Refuse a corpus that is not the one that the store was made from."""
    if corpus.fingerprint != store.meta["inputs"]["corpus"]:
        raise ErgokedroError(
            "The corpus has changed since it was tokenized. Run "
            "`kedro run --pipelines data_processing,mixture_design` first."
        )


def _on_this_machine(reference: Reference) -> Reference:
    """The reference with its files on this machine: downloaded if another machine opened it."""
    if not reference.revision or Path(reference.directory).is_dir():
        return reference
    name, _, _ = reference.name.partition("@")
    directory, _ = locate(f"{name}@{reference.revision}")
    return reference.model_copy(update={"directory": str(directory)})


_TOKENS_READ = {
    True: "its tokenizer gives the store's tokens: nats per token are those of the same windows",
    False: "its tokenizer gives other tokens: it reads its own, over the same characters",
}


def _meta(
    reference: Reference, store: TokenStore, windows: pd.DataFrame, same_tokens: bool
) -> ReferenceMeta:
    return ReferenceMeta(
        **reference.model_dump(exclude={"directory", "weights"}),
        same_tokens=same_tokens,
        fingerprints=NLLFingerprints(
            manifest="",
            weights=reference.weights,
            evaluation_windows=windows_fingerprint(windows),
            store=store.fingerprint,
            tokenizer=store.meta["inputs"]["tokenizer"],
        ),
        versions={**versions(), "transformers": version("transformers")},
    )


def _gives_same_tokens(
    reader: _Reader, corpus: Corpus, store: TokenStore, windows: pd.DataFrame
) -> bool:
    """Whether the model's tokenizer gives the store's tokens for every document with a window."""
    first = (windows.start - windows.document_offset).groupby(windows.document).first()
    starts = store.index["offset"].to_numpy()
    lengths = store.index["length"].to_numpy()
    rows = dict(zip(first.index.tolist(), np.searchsorted(starts, first.to_numpy()), strict=True))
    for number, text in corpus.texts(rows):
        start, length = int(starts[rows[number]]), int(lengths[rows[number]])
        ids, _ = encode_with_ends(text, reader.tokenizer)
        if not np.array_equal(ids, store.tokens[start : start + length - 1]):
            return False
    return True


# The row of a window, the ids that the model reads for it, and where these are other tokens than
# the store's, the characters that both stand for.
_Text = tuple[int, np.ndarray, TextWindow | None]


def _store_windows(
    reader: _Reader, store: TokenStore, windows: pd.DataFrame, length: int
) -> Iterator[_Text]:
    for row, start in enumerate(windows.start.tolist()):
        ids = store.tokens[start : start + length].astype(np.int64)
        yield row, np.concatenate([np.array(reader.before, np.int64), ids]), None


def _text_windows(
    reader: _Reader, corpus: Corpus, tokenizer: Tokenizer, windows: pd.DataFrame, length: int
) -> Iterator[_Text]:
    rows = windows.groupby("document").indices
    offsets = windows.document_offset.to_numpy()
    start = reader.tokenizer.end_of_text
    for number, text in corpus.texts(rows):
        _, ends = encode_with_ends(text, tokenizer)
        ids, other_ends = encode_with_ends(text, reader.tokenizer)
        for row in rows[number]:
            borders = ends[offsets[row] : offsets[row] + length]
            window = text_window(borders, ids, other_ends, reader.before, start)
            yield row, window.ids, window


def _measure(
    reader: _Reader,
    texts: Iterator[_Text],
    shape: tuple[int, int],
    batch_size: int,
    description: str,
) -> np.ndarray:
    """NLL of all windows, a batch at a time: float32 (windows, W - 1), nats.

    Parameters
    ----------
    texts : of every window, in any order of the rows.
    shape : of the result.
    description : shown beside the progress.
    """
    values = np.empty(shape, np.float32)
    with progress_bar(description, total=len(values), unit="windows") as bar:
        while batch := list(islice(texts, batch_size)):
            tokens = _padded([ids for _, ids, _ in batch])
            _check_windows(reader, tokens)
            for (row, _, window), nll in zip(batch, batch_nll(reader.model, tokens), strict=True):
                same = nll[len(reader.before) :]
                values[row] = same if window is None else window.spread(nll)
            bar.update(len(batch))
    return values


def _padded(texts: list[np.ndarray]) -> np.ndarray:
    """Ids of several texts, with zeros behind the shorter ones: int64 (texts, longest)."""
    longest = max(2, *map(len, texts))
    tokens = np.zeros((len(texts), longest), np.int64)
    for row, ids in zip(tokens, texts, strict=True):
        row[: len(ids)] = ids  # what follows is not seen by what comes before
    return tokens


def _check_windows(reader: _Reader, tokens: np.ndarray) -> None:
    """Refuse tokens that the model does not know, and windows that it cannot read at once."""
    vocab_size, n = reader.model.config["vocab_size"], tokens.shape[1]
    longest = getattr(reader.model.model.config, "max_position_embeddings", None) or n
    if n > longest:
        raise ErgokedroError(
            f"references: the model in {reader.tokenizer.source} reads {longest:,} tokens at once, "
            f"but a window has {n:,} tokens for it. Shorten mixture.window_length, or choose "
            "another model."
        )
    if tokens.max() >= vocab_size:
        raise ErgokedroError(
            f"references: the tokenizer of {reader.tokenizer.source} gives the id "
            f"{tokens.max():,}, but its model knows {vocab_size:,} tokens, so they do not belong "
            "together."
        )
