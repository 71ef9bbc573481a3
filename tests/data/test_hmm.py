"""The theory against brute force, against itself in another form, and under relabelling."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ergokedro.analysis.bayes_mixture import component_posterior, mixture_nll
from ergokedro.data.hmm import (
    HiddenMarkovSource,
    block_diagonal,
    entropy_rate,
    position_nll,
    stationary,
)
from ergokedro.data.synthetic import sample_words
from ergokedro.errors import ErgokedroError

# Two states, three words, small enough to follow with pencil and paper.
SMALL = HiddenMarkovSource(
    np.array([0.25, 0.75]),
    np.array([[0.5, 0.5], [0.125, 0.875]]),
    np.array([[0.5, 0.5, 0.0], [0.25, 0.0, 0.75]]),
)


def random_source(
    rng: np.random.Generator, states: int, words: int, zeros: bool = False
) -> HiddenMarkovSource:
    """A random source; with `zeros`, about a third of its transitions and emissions never occur."""

    def rows(n: int, width: int) -> np.ndarray:
        values = rng.dirichlet(np.full(width, 0.7), size=n)
        if zeros:
            kept = rng.random((n, width)) < 0.7
            kept[np.arange(n), rng.integers(width, size=n)] = True
            values = np.where(kept, values + 0.01, 0.0)
        return values / values.sum(axis=1, keepdims=True)

    return HiddenMarkovSource(rows(1, states)[0], rows(states, states), rows(states, words))


def coin(*emission: float) -> HiddenMarkovSource:
    """A source without memory."""
    return HiddenMarkovSource(np.ones(1), np.ones((1, 1)), np.array([emission]))


def brute_force_probability(source: HiddenMarkovSource, words: np.ndarray) -> float:
    """Sum over every path of states."""
    total = 0.0
    for path in product(range(len(source.initial)), repeat=len(words)):
        p = source.initial[path[0]]
        for t, state in enumerate(path):
            p *= source.emission[state, words[t]]
            if t + 1 < len(path):
                p *= source.transition[state, path[t + 1]]
        total += p
    return total


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_filter_equals_the_sum_over_all_paths(seed: int, zeros: bool) -> None:
    rng = np.random.default_rng(seed)
    source = random_source(rng, 3, 4, zeros)
    words = rng.integers(4, size=(6, 5))
    likelihood = np.exp(-position_nll(source, words).cumsum(axis=1))
    expected = [[brute_force_probability(source, row[: t + 1]) for t in range(5)] for row in words]
    np.testing.assert_allclose(likelihood, expected, rtol=1e-12)


def test_golden_numbers() -> None:
    """Worked by hand: p(0) = 5/16, p(2 | 0) = 29/40 * 3/4, p(1 | 0, 2) = 1/8 * 1/2."""
    nll = position_nll(SMALL, np.array([[0, 2, 1], [1, 0, 0]]))
    expected = [[5 / 16, 87 / 160, 1 / 16], [1 / 8, 3 / 8, 11 / 32]]
    np.testing.assert_allclose(nll, -np.log(expected), rtol=1e-14)
    # Coins of 3/4 and 1/4: after one head the weights are 3 to 1, after two 9 to 1.
    nll = np.stack([position_nll(coin(p, 1 - p), np.array([[0, 0]])) for p in (0.75, 0.25)])
    half = np.array([0.5, 0.5])
    np.testing.assert_allclose(mixture_nll(nll, half), -np.log([[1 / 2, 5 / 8]]), rtol=1e-14)
    np.testing.assert_allclose(component_posterior(nll, half)[0], [[1 / 2, 3 / 4, 9 / 10]])


@pytest.mark.parametrize("zeros", [False, True])
def test_probabilities_of_all_sequences_sum_to_one(zeros: bool) -> None:
    rng = np.random.default_rng(0)
    sources = [random_source(rng, 3, 3, zeros) for _ in range(2)]
    words = np.array(list(product(range(3), repeat=6)))
    nll = np.stack([position_nll(source, words) for source in sources])
    for each in (*nll, mixture_nll(nll, np.array([0.3, 0.7]))):
        assert np.exp(-each.sum(axis=1)).sum() == pytest.approx(1, abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.booleans())
def test_mixture_equals_the_block_diagonal_source(seed: int, k: int, zeros: bool) -> None:
    rng = np.random.default_rng(seed)
    sources = [random_source(rng, int(rng.integers(1, 4)), 5, zeros) for _ in range(k)]
    prior = rng.dirichlet(np.ones(k))
    words = np.vstack([rng.integers(5, size=(4, 40)), sample_words(sources[0], 4, 40, rng)])
    nll = np.stack([position_nll(source, words) for source in sources])
    whole = position_nll(block_diagonal(sources, prior), words)
    np.testing.assert_allclose(mixture_nll(nll, prior), whole, atol=1e-9, rtol=0)


def test_a_component_given_up_long_ago_is_found_again() -> None:
    """After 1,000 heads the weight of the other coin is e^-2197, which no float64 can hold."""
    words = np.array([[0] * 1000 + [1] * 1400])
    coins = [coin(0.9, 0.1), coin(0.1, 0.9)]
    prior = np.array([0.5, 0.5])
    nll = np.stack([position_nll(each, words) for each in coins])
    whole = position_nll(block_diagonal(coins, prior), words)
    np.testing.assert_allclose(mixture_nll(nll, prior), whole, atol=1e-9, rtol=0)
    assert whole.sum() == pytest.approx(nll[1].sum() + np.log(2), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_names_of_states_and_words_do_not_matter(seed: int, zeros: bool) -> None:
    rng = np.random.default_rng(seed)
    source = random_source(rng, 4, 6, zeros)
    words = rng.integers(6, size=(3, 20))
    states, letters = rng.permutation(4), rng.permutation(6)
    renamed = HiddenMarkovSource(
        source.initial[states],
        source.transition[states][:, states],
        source.emission[states][:, letters],
    )
    np.testing.assert_allclose(
        position_nll(renamed, np.argsort(letters)[words]), position_nll(source, words), atol=1e-10
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_the_mixture_never_costs_more_than_its_prior_on_any_sequence(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    nll = rng.exponential(2.0, size=(k, 50, 99)) * rng.choice([0.01, 1, 50], size=(k, 50, 1))
    prior = rng.dirichlet(np.ones(k))
    excess = mixture_nll(nll, prior).sum(axis=1) - nll.sum(axis=2)
    assert (excess <= -np.log(prior)[:, None] + 1e-8).all()
    uniform = mixture_nll(nll, np.full(k, 1 / k)).cumsum(axis=1) - nll.cumsum(axis=2)
    assert (uniform <= np.log(k) + 1e-8).all()


def test_a_mixture_of_equals_costs_nothing_and_a_certain_prior_is_one_predictor() -> None:
    nll = np.random.default_rng(0).exponential(size=(3, 5, 20)).astype(np.float32)
    same = np.repeat(nll[:1], 3, axis=0)
    np.testing.assert_allclose(mixture_nll(same, np.full(3, 1 / 3)), nll[0], atol=1e-12)
    certain = np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(mixture_nll(nll, certain), nll[1], atol=1e-12)
    assert (component_posterior(nll, certain)[1] == 1).all()


def test_posterior_starts_at_the_prior_and_finds_the_component() -> None:
    rng = np.random.default_rng(0)
    sources = [random_source(rng, 3, 12) for _ in range(3)]
    prior = np.array([0.5, 0.3, 0.2])
    words = sample_words(sources[2], 200, 200, rng)
    nll = np.stack([position_nll(source, words) for source in sources])
    posterior = component_posterior(nll, prior)
    assert posterior.shape == (3, 200, 201)
    np.testing.assert_allclose(posterior[:, :, 0].T, np.tile(prior, (200, 1)))
    np.testing.assert_allclose(posterior.sum(axis=0), 1)
    assert (posterior[2, :, -1] > 0.99).mean() > 0.99


def test_the_mixture_weighs_its_predictors_by_their_posterior() -> None:
    nll = np.random.default_rng(1).exponential(size=(3, 8, 30))
    prior = np.array([0.2, 0.5, 0.3])
    weights = component_posterior(nll, prior)[:, :, :-1]
    direct = -np.log((weights * np.exp(-nll)).sum(axis=0))
    np.testing.assert_allclose(mixture_nll(nll, prior), direct, atol=1e-12)


def test_long_sequences_neither_overflow_nor_underflow() -> None:
    rng = np.random.default_rng(0)
    sources = [random_source(rng, 3, 50) for _ in range(2)]
    prior = np.array([0.5, 0.5])
    words = sample_words(sources[0], 2, 2000, rng)
    nll = np.stack([position_nll(source, words) for source in sources])
    assert np.isfinite(nll).all()
    assert nll.sum(axis=2).min() > 2 * 745  # probabilities below the smallest float64
    whole = position_nll(block_diagonal(sources, prior), words)
    np.testing.assert_allclose(mixture_nll(nll, prior), whole, atol=1e-9, rtol=0)


def test_impossible_words_cost_infinity_and_only_they() -> None:
    words = np.array([[0, 1, 2, 0], [0, 1, 0, 1], [0, 0, 0, 2]])
    never = position_nll(coin(0.5, 0.5, 0.0), words)
    log_2 = np.log(2)
    expected = [[log_2, log_2, np.inf, np.inf], [log_2] * 4, [log_2] * 3 + [np.inf]]
    np.testing.assert_allclose(never, expected)
    # SMALL cannot emit 1 from its second state, but reaches the first: dear, not impossible.
    assert np.isfinite(position_nll(SMALL, np.array([[2, 2, 2, 1]]))).all()


def test_a_mixture_survives_what_one_of_its_predictors_rules_out() -> None:
    words = np.array([[0, 1, 0], [0, 2, 0]])
    coins = [coin(0.5, 0.5, 0.0), coin(1.0, 0.0, 0.0)]
    prior = np.array([0.5, 0.5])
    nll = np.stack([position_nll(each, words) for each in coins])
    expected = -np.log([[3 / 4, 1 / 6, 1 / 2], [3 / 4, 1, 1]])
    expected[1, 1:] = np.inf
    np.testing.assert_allclose(mixture_nll(nll, prior), expected)
    posterior = component_posterior(nll, prior)
    np.testing.assert_allclose(posterior[0, 0], [1 / 2, 1 / 3, 1, 1])
    assert np.isnan(posterior[:, 1, 2:]).all()


def test_a_predictor_that_failed_is_not_hidden() -> None:
    """NaN from a diverged model must not turn into a number."""
    nll = np.ones((2, 1, 4))
    nll[1, 0, 2] = np.nan
    mixed = mixture_nll(nll, np.array([0.5, 0.5]))
    assert np.isnan(mixed[0, 2:]).all()
    np.testing.assert_allclose(mixed[0, :2], 1)


def test_a_split_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(0).integers(3, size=(11, 7))
    whole = position_nll(SMALL, words)
    monkeypatch.setattr("ergokedro.data.hmm._BLOCK", 8)
    np.testing.assert_array_equal(position_nll(SMALL, words), whole)
    assert position_nll(SMALL, words[:0]).shape == (0, 7)


def test_stationary_distribution_stays() -> None:
    transition = np.random.default_rng(1).dirichlet(np.ones(6), size=6)
    p = stationary(transition)
    np.testing.assert_allclose(p @ transition, p, atol=1e-12)
    assert p.sum() == pytest.approx(1)
    np.testing.assert_allclose(stationary(np.array([[0.9, 0.1], [0.3, 0.7]])), [0.75, 0.25])
    np.testing.assert_allclose(stationary(np.eye(3)), 1 / 3)


def test_entropy_rate_of_a_markov_chain() -> None:
    """Where states are seen, the rate is the mean entropy of the rows of transitions."""
    transition = np.array([[0.9, 0.1], [0.3, 0.7]])
    chain = HiddenMarkovSource(stationary(transition), transition, np.eye(2))
    exact = -(stationary(transition) * (transition * np.log(transition)).sum(axis=1)).sum()
    words = sample_words(chain, 400, 200, np.random.default_rng(0))
    estimate, error = entropy_rate(chain, words, burn_in=1)
    assert abs(estimate - exact) < 4 * error
    assert 0 < error < 0.01
    means = position_nll(chain, words)[:, 150:].mean(axis=1)
    expected = means.mean(), means.std(ddof=1) / 20
    np.testing.assert_allclose(entropy_rate(chain, words, burn_in=150), expected, rtol=1e-12)


BAD_SOURCES = {
    "states differ": (np.array([0.5, 0.5]), np.eye(3), np.eye(2)),
    "emission is a vector": (np.array([0.5, 0.5]), np.eye(2), np.array([0.5, 0.5])),
    "initial sums to 1.1": (np.array([0.5, 0.6]), np.eye(2), np.eye(2)),
    "negative": (np.array([1.5, -0.5]), np.eye(2), np.eye(2)),
    "not a number": (np.array([0.5, 0.5]), np.eye(2), np.array([[1.0, 0.0], [np.nan, 1.0]])),
}


@pytest.mark.parametrize("parts", BAD_SOURCES.values(), ids=BAD_SOURCES.keys())
def test_what_is_no_source_is_refused(parts: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ErgokedroError, match=r"number of states|probability distribution"):
        HiddenMarkovSource(*parts)


@pytest.mark.parametrize("words", [[[0, -1]], [[0, 3]]])
def test_words_that_the_source_does_not_know_are_refused(words: list[list[int]]) -> None:
    with pytest.raises(ErgokedroError, match="knows 0 to 2"):
        position_nll(SMALL, np.array(words))


@pytest.mark.parametrize("prior", [[0.5, 0.6], [1.0], [1.5, -0.5]])
def test_a_prior_that_is_none_is_refused(prior: list[float]) -> None:
    with pytest.raises(ErgokedroError, match="prior"):
        mixture_nll(np.ones((2, 3, 4)), np.array(prior))


@pytest.mark.parametrize(("samples", "burn_in"), [(1, 0), (2, 5), (2, -1)])
def test_an_entropy_rate_needs_samples(samples: int, burn_in: int) -> None:
    with pytest.raises(ErgokedroError, match="burn_in"):
        entropy_rate(SMALL, np.zeros((samples, 5), dtype=np.int64), burn_in)
