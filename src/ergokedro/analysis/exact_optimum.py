"""The exact optimum of the evaluation windows of a synthetic corpus."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from ergokedro.analysis.bayes_mixture import mixture_nll
from ergokedro.data.hmm import HiddenMarkovSource, position_nll
from ergokedro.data.synthetic import component_names, make_sources, vocabulary
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.mixture import Design
from ergokedro.design.nll import ExactNLL
from ergokedro.design.records import ExactMeta
from ergokedro.design.runs import run_name
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters


def exact_nll(
    store: TokenStore,
    tokenizer: Tokenizer,
    windows: pd.DataFrame,
    design: Design,
    params: CorpusParameters,
) -> ExactNLL:
    """The least possible NLL at every position, for every K and every component.

    For K it is that of the uniform Bayes mixture of the first K sources: of a reader who knows
    the sources, but not which of them wrote the text.

    Returns
    -------
    Arrays 'test/k3' (the optimum of K = 3) and 'test/source-1' (of a reader who knows that
    source-1 wrote the text), float32 (windows of the split, W - 1); none where the corpus is not
    synthetic.

    Raises
    ------
    ErgokedroError
        If the tokenizer does not give every word a token of its own, or the evaluation windows
        belong to another store.
    """
    if design.store != store.fingerprint:
        raise ErgokedroError(
            "The evaluation windows were chosen for another token store. Run "
            "`kedro run --pipelines mixture_design` to choose them anew."
        )
    if params.source != "synthetic":
        return ExactNLL({}, ExactMeta(available=False))
    names = component_names(params.synthetic.components)
    sources = dict(zip(names, make_sources(params.synthetic), strict=True))
    chosen = {name: sources[name] for name in design.components}
    word_of = _words_of_tokens(tokenizer, params.synthetic.words)
    view = sliding_window_view(store.tokens, design.window_length)
    arrays = {}
    for split, starts in windows.groupby("split", sort=False).start:
        words = word_of[view[starts.to_numpy()]]
        _check_words(words, tokenizer)
        for name, nll in _optimal_nll(chosen, words):
            arrays[f"{split}/{name}"] = nll[:, 1:].astype(np.float32)
    return ExactNLL(arrays, ExactMeta(available=True, store=store.fingerprint))


def _optimal_nll(
    sources: dict[str, HiddenMarkovSource], words: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and NLL of every source, then of the uniform mixture of the first K, for every K.

    Parameters
    ----------
    words : int64 (windows, W), indices of words.

    Yields
    ------
    Name of the source or of the chain's run, and float64 (windows, W), nats.
    """
    nll = np.stack([position_nll(source, words) for source in sources.values()])
    yield from zip(sources, nll, strict=True)
    for k in range(1, len(nll) + 1):
        yield run_name(k), mixture_nll(nll[:k], np.full(k, 1 / k))


def _check_words(words: np.ndarray, tokenizer: Tokenizer) -> None:
    """Refuse windows with a token that is no whole word, -1 in `words`."""
    if (words < 0).any():
        raise ErgokedroError(
            "The exact optimum needs one token for every word of the synthetic corpus, but "
            f"tokenizer.source = {tokenizer.source!r} splits some. Set it to 'trained', with "
            "tokenizer.vocab_size large enough for all words."
        )


def _words_of_tokens(tokenizer: Tokenizer, n_words: int) -> np.ndarray:
    """Index of the word that a token stands for, -1 for other tokens: int64 (vocab_size,)."""
    word_of = np.full(tokenizer.vocab_size, -1, dtype=np.int64)
    for index, tokens in enumerate(tokenizer.encode(vocabulary(n_words))):
        if len(tokens) == 1:
            word_of[tokens[0]] = index
    return word_of
