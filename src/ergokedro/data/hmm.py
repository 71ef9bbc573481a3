"""Hidden Markov sources of words, and their exact cross entropy.

Everything is computed with logarithms, so sequences of any length neither overflow nor underflow,
even if a state that was improbable for a thousand words turns out to be the right one.
All results are float64; costs are in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from ergokedro.errors import ErgokedroError

_TOLERANCE = 1e-9
# Numbers in one step of the filter; so few fit into the processor's cache.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class HiddenMarkovSource:
    """A hidden Markov source of words: a state emits a word, then moves on.

    Attributes
    ----------
    initial : float64 (S,), distribution of the state that emits the first word.
    transition : float64 (S, S), row s is the distribution of the state after s.
    emission : float64 (S, V), row s is the distribution of the word that s emits.

    Raises
    ------
    ErgokedroError
        If the shapes disagree or a row is no probability distribution.
    """

    initial: np.ndarray
    transition: np.ndarray
    emission: np.ndarray

    def __post_init__(self) -> None:
        shapes = self.initial.shape, self.transition.shape, self.emission.shape
        states = self.initial.size
        if shapes[:2] != ((states,), (states, states)) or shapes[2] != (states, shapes[2][-1]):
            raise ErgokedroError(
                "initial, transition and emission must have the shapes (S,), (S, S) and (S, V) "
                f"with the same number of states S, not {shapes}"
            )
        for name in ("initial", "transition", "emission"):
            require_distributions(name, getattr(self, name))


def require_distributions(name: str, rows: np.ndarray) -> None:
    """Raise unless `rows` are probability distributions along the last axis."""
    sums = rows.sum(axis=-1)
    # Negated, so that NaN is refused too.
    if not ((rows >= 0).all() and (np.abs(sums - 1) <= _TOLERANCE).all()):
        raise ErgokedroError(
            f"{name} must be a probability distribution along its last axis: numbers not below 0 "
            f"that sum to 1; here the smallest is {rows.min(initial=1)} and the sums are "
            f"{sums.min()} to {sums.max()}"
        )


def stationary(transition: np.ndarray) -> np.ndarray:
    """A distribution that `transition` (S, S) leaves unchanged: float64 (S,).

    It is the only one unless the chain has several closed classes of states.
    """
    states = len(transition)
    equations = np.vstack([transition.T - np.eye(states), np.ones(states)])
    target = np.append(np.zeros(states), 1.0)
    solution = np.linalg.lstsq(equations, target, rcond=None)[0].clip(min=0)
    return np.asarray(solution / solution.sum())


def position_nll(source: HiddenMarkovSource, words: np.ndarray) -> np.ndarray:
    """Exact -log p(x_t | x_1..x_{t-1}) by the forward filter (Rabiner 1989, section III.A).

    Parameters
    ----------
    source : the source, of V words.
    words : int (n, T), n sequences of words 0..V-1.

    Returns
    -------
    float64 (n, T), nats; infinite from the first word on that makes a sequence impossible.

    Raises
    ------
    ErgokedroError
        If a word is not in 0..V-1.
    """
    states, vocabulary = source.emission.shape
    if words.size and not 0 <= words.min() <= words.max() < vocabulary:
        raise ErgokedroError(
            f"words {words.min()} to {words.max()} given to a source that knows 0 to "
            f"{vocabulary - 1}; map every token to the number of its word first"
        )
    nll = np.empty(words.shape)
    rows = max(1, _BLOCK // states**2)
    for first in range(0, len(words), rows):
        nll[first : first + rows] = _filter(source, words[first : first + rows])
    return nll


def _filter(source: HiddenMarkovSource, words: np.ndarray) -> np.ndarray:
    """The forward filter in log space; normalised at every step, so that errors do not grow."""
    with np.errstate(divide="ignore"):
        state = np.log(source.initial)[None]
        transition = np.log(source.transition)
        emission = np.log(source.emission).T
    nll = np.empty(words.shape)
    for t in range(words.shape[1]):
        joint = state + emission[words[:, t]]
        evidence = logsumexp(joint, axis=1)
        nll[:, t] = -evidence
        # An impossible past (-inf in every state) must stay impossible and not become NaN.
        joint -= np.where(np.isneginf(evidence), 0.0, evidence)[:, None]
        state = logsumexp(joint[:, :, None] + transition, axis=1)
    return nll


def block_diagonal(sources: Sequence[HiddenMarkovSource], prior: np.ndarray) -> HiddenMarkovSource:
    """The one source that draws a component once and then stays in it.

    Its states are those of all `sources` (over one vocabulary) in turn; `prior` is (m,).
    """
    sizes = [len(source.initial) for source in sources]
    transition = np.zeros((sum(sizes), sum(sizes)))
    first = 0
    for source, size in zip(sources, sizes, strict=True):
        transition[first : first + size, first : first + size] = source.transition
        first += size
    initial = np.concatenate([p * s.initial for p, s in zip(prior, sources, strict=True)])
    return HiddenMarkovSource(initial, transition, np.vstack([s.emission for s in sources]))


def entropy_rate(
    source: HiddenMarkovSource, words: np.ndarray, burn_in: int = 0
) -> tuple[float, float]:
    """Estimate the entropy rate from samples: the mean exact NLL after `burn_in` words.

    For a stationary source H(x_t | x_<t) falls towards the rate as t grows (Cover and Thomas,
    theorem 4.2.1), so the mean is an estimate from above, and the closer the larger `burn_in`.

    Parameters
    ----------
    source : a source that starts in its stationary distribution.
    words : int (n, T), n independent samples of it, n at least 2.
    burn_in : words at the start of every sample that are not averaged over, below T.

    Returns
    -------
    The estimate and its standard error over samples, nats per word.

    Raises
    ------
    ErgokedroError
        If there are fewer than 2 samples, or none longer than `burn_in`.
    """
    if len(words) < 2 or not 0 <= burn_in < words.shape[1]:
        raise ErgokedroError(
            f"an entropy rate needs 2 or more samples longer than burn_in = {burn_in} words, "
            f"not {words.shape}"
        )
    means = position_nll(source, words)[:, burn_in:].mean(axis=1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means)))
