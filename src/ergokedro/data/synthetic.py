"""A corpus whose best possible cross entropy is known: hidden Markov sources as text.

All sources share one vocabulary and most of their structure. They differ enough that a dozen
words tell which source a text comes from. Documents are words joined by single spaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from ergokedro.data.hmm import HiddenMarkovSource, stationary
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import SyntheticParameters

_SYLLABLES = ["".join(pair) for pair in product("bdfgklmnprstvz", "aeiou")]
# Purposes of the streams of random numbers, which numpy's SeedSequence keeps independent:
# (seed, purpose, source, split). A source's streams do not depend on the number of sources.
_SHARED, _OWN, _DOCUMENTS = 0, 1, 2
_SPLITS = {"train": 0, "validation": 1, "test": 2}
# Documents drawn at once: bounds the memory, however large the corpus.
_BLOCK = 64


def component_names(n: int) -> list[str]:
    """Names of the sources, in the order of :func:`make_sources`: 'source-1' and so on."""
    return [f"source-{i + 1}" for i in range(n)]


def vocabulary(n_words: int) -> list[str]:
    """`n_words` distinct pronounceable words of lower-case ASCII, all of the same length."""
    base = len(_SYLLABLES)
    length = 2
    while base**length < n_words:
        length += 1
    total = base**length
    # A stride that shares no factor with `total` spreads the words and visits none twice.
    stride = next(s for s in range(total // n_words | 1, 2 * total) if np.gcd(s, total) == 1)
    numbers = [i * stride % total for i in range(n_words)]
    return ["".join(_SYLLABLES[n // base**d % base] for d in range(length)) for n in numbers]


def word_ids(text: str, words: Sequence[str]) -> np.ndarray:
    """The numbers in `words` of the words of a document: int64 (n,).

    Raises
    ------
    ErgokedroError
        If the text holds a word that is not in `words`.
    """
    number = {word: i for i, word in enumerate(words)}
    try:
        return np.array([number[word] for word in text.split()], dtype=np.int64)
    except KeyError as error:
        raise ErgokedroError(
            f"The word {error} is not among the {len(words)} of this synthetic corpus; give the "
            "vocabulary that the text was made with (corpus.synthetic.words)."
        ) from None


def make_sources(params: SyntheticParameters) -> list[HiddenMarkovSource]:
    """The sources, each started in its stationary distribution.

    The rows of their emissions and transitions are blends of rows that all share and rows of
    their own, all drawn from symmetric Dirichlet distributions, and of a little uniform noise.
    Source i does not depend on how many sources there are.
    """
    shared_emission, shared_transition = _draw_rows(params, _SHARED)
    sources = []
    for i in range(params.components):
        own_emission, own_transition = _draw_rows(params, _OWN, i)
        emission = _blend(shared_emission, own_emission, params.shared_emission, params.uniform)
        transition = _blend(
            shared_transition, own_transition, params.shared_transition, params.uniform
        )
        sources.append(HiddenMarkovSource(stationary(transition), transition, emission))
    return sources


def _draw_rows(params: SyntheticParameters, *stream: int) -> tuple[np.ndarray, np.ndarray]:
    """Random rows of an emission (S, V) and of a transition matrix (S, S)."""
    rng = np.random.default_rng([params.seed, *stream])
    words = np.full(params.words, params.emission_concentration)
    states = np.full(params.states, params.transition_concentration)
    return rng.dirichlet(words, size=params.states), rng.dirichlet(states, size=params.states)


def _blend(shared: np.ndarray, own: np.ndarray, weight: float, uniform: float) -> np.ndarray:
    """Rows that are `weight` parts shared, the rest own, and above zero if `uniform` is."""
    mixed = weight * shared + (1 - weight) * own
    return np.asarray((1 - uniform) * mixed + uniform / mixed.shape[1])


def sample_words(
    source: HiddenMarkovSource, n_documents: int, n_words: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw independent documents from the source: int64 (n_documents, n_words)."""
    words = np.empty((n_documents, n_words), dtype=np.int64)
    emission = source.emission.cumsum(axis=1)
    transition = source.transition.cumsum(axis=1)
    state = _draw(np.tile(source.initial.cumsum(), (n_documents, 1)), rng)
    for t in range(n_words):
        words[:, t] = _draw(emission[state], rng)
        state = _draw(transition[state], rng)
    return words


def _draw(cumulative: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw from each row of cumulative distributions (n, m): int64 (n,)."""
    # Rounding can leave the last cumulative value below 1; it must not yield an index m.
    level = rng.random(len(cumulative)) * cumulative[:, -1]
    return np.asarray((cumulative <= level[:, None]).sum(axis=1))


def iter_documents(params: SyntheticParameters, split: str) -> Iterator[tuple[str, str]]:
    """All (text, label) pairs of one split, source by source, a block of documents at a time.

    Raises
    ------
    ErgokedroError
        If `split` is not 'train', 'validation' or 'test'.
    """
    if split not in _SPLITS:
        raise ErgokedroError(f"split = {split!r} is unknown; use one of {', '.join(_SPLITS)}")
    words = np.array(vocabulary(params.words))
    names = component_names(params.components)
    for i, (source, name) in enumerate(zip(make_sources(params), names, strict=True)):
        rng = np.random.default_rng([params.seed, _DOCUMENTS, i, _SPLITS[split]])
        count = params.heldout_documents
        if split == "train":
            count = params.train_documents + i * params.train_documents_step
        for start in range(0, count, _BLOCK):
            n = min(_BLOCK, count - start)
            for row in words[sample_words(source, n, params.words_per_document, rng)]:
                yield " ".join(row), name
