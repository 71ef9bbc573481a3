"""The embedded corpus: reproducible, independent of its size, and as hard as it is meant to be."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest

from ergokedro.analysis.bayes_mixture import component_posterior, mixture_nll
from ergokedro.data.hmm import HiddenMarkovSource, entropy_rate, position_nll, stationary
from ergokedro.data.synthetic import (
    component_names,
    iter_documents,
    make_sources,
    sample_words,
    vocabulary,
    word_ids,
)
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import SyntheticParameters

DEFAULT = SyntheticParameters()
SMALL = SyntheticParameters(
    components=3, words_per_document=20, train_documents=70, heldout_documents=4
)
GOLDEN_WORDS = ["baba", "fobi", "lebu"]
GOLDEN_TEXT = "af59d03d03fedd74"


@pytest.mark.parametrize("n", [2, 32, 71, 500, 4096, 5000])
def test_vocabulary(n: int) -> None:
    words = vocabulary(n)
    assert len(set(words)) == n
    assert len({len(word) for word in words}) == 1
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
    assert words == vocabulary(n)


def test_words_and_documents_are_golden() -> None:
    assert vocabulary(32)[:3] == GOLDEN_WORDS
    text, label = next(iter_documents(DEFAULT, "train"))
    assert label == "source-1"
    assert len(text.split(" ")) == 1000
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN_TEXT


def test_a_text_goes_back_to_the_numbers_of_its_words() -> None:
    words = vocabulary(500)
    numbers = np.random.default_rng(0).integers(500, size=1000)
    np.testing.assert_array_equal(word_ids(" ".join(words[i] for i in numbers), words), numbers)
    assert word_ids("", words).shape == (0,)
    with pytest.raises(ErgokedroError, match="'hello'"):
        word_ids("baba hello", words)


def test_numbers_of_documents() -> None:
    counts = Counter(label for _, label in iter_documents(SMALL, "train"))
    assert counts == {"source-1": 70, "source-2": 80, "source-3": 90}
    assert [label for _, label in iter_documents(SMALL, "test")] == [
        name for name in component_names(3) for _ in range(4)
    ]
    with pytest.raises(ErgokedroError, match=r"'dev'.*validation"):
        next(iter_documents(SMALL, "dev"))


def test_splits_are_independent_and_repeatable() -> None:
    splits = {s: list(iter_documents(SMALL, s)) for s in ("train", "validation", "test")}
    texts = [text for each in splits.values() for text, _ in each]
    assert len(set(texts)) == len(texts)
    assert splits["train"] == list(iter_documents(SMALL, "train"))
    other = SMALL.model_copy(update={"seed": 1})
    assert not set(texts) & {text for text, _ in iter_documents(other, "train")}


def test_heldout_documents_do_not_depend_on_the_amount_of_training() -> None:
    more = SMALL.model_copy(update={"train_documents": 200, "train_documents_step": 3})
    assert list(iter_documents(more, "test")) == list(iter_documents(SMALL, "test"))


def test_a_source_does_not_depend_on_the_number_of_sources() -> None:
    many = SMALL.model_copy(update={"components": 9})
    for a, b in zip(make_sources(SMALL), make_sources(many), strict=False):
        np.testing.assert_array_equal(a.initial, b.initial)
        np.testing.assert_array_equal(a.emission, b.emission)
        np.testing.assert_array_equal(a.transition, b.transition)
    few_documents = list(iter_documents(SMALL, "train"))
    assert few_documents == list(iter_documents(many, "train"))[: len(few_documents)]


def test_sources_are_the_blend_that_the_parameters_describe() -> None:
    sources = make_sources(DEFAULT)
    for source in sources:
        np.testing.assert_allclose(source.initial @ source.transition, source.initial, atol=1e-12)
        assert source.emission.min() >= 0.02 / 32 - 1e-15
        assert source.transition.min() >= 0.02 / 4 - 1e-15
    # All sources hold 0.98 * 0.8 of the same rows, so two share at least that much probability.
    for a, b in pairwise(sources):
        assert (np.minimum(a.emission, b.emission).sum(axis=1) >= 0.98 * 0.8 + 0.02 - 1e-12).all()
        assert (np.minimum(a.transition, b.transition).sum(axis=1) >= 0.98 * 0.5 + 0.02).all()
        assert not np.allclose(a.emission, b.emission)
    clones = make_sources(DEFAULT.model_copy(update={"shared_emission": 1.0}))
    np.testing.assert_array_equal(clones[0].emission, clones[1].emission)
    free = make_sources(DEFAULT.model_copy(update={"shared_emission": 0.0, "uniform": 0.0}))
    assert not np.allclose(free[0].emission, free[1].emission, atol=0.1)


def test_samples_follow_the_source() -> None:
    """Every sequence of three words as often as its exact probability says (chi-squared)."""
    rng = np.random.default_rng(5)
    transition = rng.dirichlet(np.ones(3), size=3)
    emission = rng.dirichlet(np.full(4, 0.5), size=3)
    source = HiddenMarkovSource(rng.dirichlet(np.ones(3)), transition, emission)
    codes = sample_words(source, 40_000, 3, rng) @ np.array([16, 4, 1])
    every = np.array(list(product(range(4), repeat=3)))
    expected = 40_000 * np.exp(-position_nll(source, every).sum(axis=1))
    observed = np.bincount(codes, minlength=64)
    likely = expected > 5
    chi = ((observed - expected)[likely] ** 2 / expected[likely]).sum()
    assert chi < likely.sum() + 4 * np.sqrt(2 * likely.sum())


def test_what_is_impossible_is_never_sampled() -> None:
    transition = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    source = HiddenMarkovSource(stationary(transition), transition, np.eye(5)[[3, 1, 2]])
    words = sample_words(source, 100, 30, np.random.default_rng(0))
    assert set(np.unique(words)) == {1, 2, 3}
    assert np.isfinite(position_nll(source, words)).all()


def test_documents_have_the_word_frequencies_of_their_source() -> None:
    """Within 5 standard errors over documents, which are independent where words are not."""
    params = SyntheticParameters(components=2, words_per_document=200, heldout_documents=150)
    words, documents = vocabulary(32), list(iter_documents(params, "validation"))
    for source, name in zip(make_sources(params), component_names(2), strict=True):
        counts = np.array(
            [np.bincount(word_ids(t, words), minlength=32) for t, n in documents if n == name]
        )
        error = counts.std(axis=0, ddof=1) / np.sqrt(len(counts))
        expected = 200 * source.initial @ source.emission
        assert (np.abs(counts.mean(axis=0) - expected) < 5 * error).all()


def test_documents_cost_the_entropy_rate_of_their_source() -> None:
    """The text itself, read back, costs its source what a fresh sample does; others pay more."""
    words, sources = vocabulary(32), make_sources(SMALL)
    params = SMALL.model_copy(update={"words_per_document": 300, "heldout_documents": 60})
    documents = list(iter_documents(params, "test"))
    for i, name in enumerate(component_names(3)):
        numbers = np.stack([word_ids(text, words) for text, label in documents if label == name])
        found, error = entropy_rate(sources[i], numbers, burn_in=50)
        fresh = sample_words(sources[i], 60, 300, np.random.default_rng(i))
        rate, rate_error = entropy_rate(sources[i], fresh, burn_in=50)
        assert abs(found - rate) < 4 * np.hypot(error, rate_error)
        for j in set(range(3)) - {i}:
            assert entropy_rate(sources[j], numbers, burn_in=50)[0] > found + 0.05


def test_the_default_family_is_as_hard_as_designed() -> None:
    """Entropy rates well below log 32, and a component told from the others within a window."""
    sources, prior = make_sources(DEFAULT), np.full(5, 0.2)
    samples = [sample_words(s, 300, 100, np.random.default_rng(i)) for i, s in enumerate(sources)]
    nll = np.stack([position_nll(source, np.concatenate(samples)) for source in sources])
    truth, row = np.repeat(np.arange(5), 300), np.arange(1500)
    right = nll[truth, row]
    rates = right[:, 20:].mean(axis=1).reshape(5, 300).mean(axis=1)
    assert ((rates > 2.4) & (rates < 2.8)).all(), rates
    assert 2.60 < mixture_nll(nll, prior)[:, 1:].mean() < 2.70
    excess = (mixture_nll(nll, prior) - right).sum(axis=1)
    assert (excess <= np.log(5) + 1e-9).all()
    assert excess.mean() == pytest.approx(np.log(5), abs=0.2)
    posterior = np.median(component_posterior(nll, prior)[truth, row], axis=0)
    passed = [int(np.argmax(posterior > level)) for level in (0.5, 0.9, 0.99)]
    np.testing.assert_allclose(passed, [6, 13, 20], atol=2)
