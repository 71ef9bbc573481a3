"""Real learners whose exchange rates are known: bigram counts of hidden Markov sources.

A bigram model with additive smoothing (Chen and Goodman 1999, An empirical study of smoothing
techniques for language modeling) sees a copy of a source as more of the source, and a source in a
vocabulary of its own not at all: such text adds counts to other contexts alone.
"""

from __future__ import annotations

import numpy as np
import pytest

from ergokedro.analysis.transfer.exchange import direct_exchange
from ergokedro.analysis.transfer.fitting import LawFit, fit_law
from ergokedro.analysis.transfer.held_out import (
    held_out_predictions,
    prediction_errors,
)
from ergokedro.analysis.transfer.own_text import SpecialistCurve, own_text_equivalents
from ergokedro.analysis.transfer.runs import MixtureRuns
from ergokedro.data.synthetic import make_sources, sample_words
from ergokedro.parameters import SyntheticParameters
from transfer_runs import all_sets, exchange_matrix

COMPONENTS = ("one", "copy", "far")
# The source of each component, and where its vocabulary starts.
SOURCES = ((0, 0), (0, 0), (1, 32))
WORDS, SMOOTHING, DOCUMENT, DRAWS = 32, 0.1, 200, 4
BUDGETS = (24, 72, 216, 648)  # documents of all components together
SIZES = (6, 12, 24, 72, 216, 648, 1296)


def sample_counts(component: int, documents: int, rng: np.random.Generator) -> np.ndarray:
    """How often each word follows each other one in new documents: float64 (2 WORDS, 2 WORDS)."""
    source, first = SOURCES[component]
    words = sample_words(HIDDEN[source], documents, DOCUMENT, rng) + first
    pairs = words[:, :-1] * 2 * WORDS + words[:, 1:]
    counts = np.bincount(pairs.ravel(), minlength=4 * WORDS**2)
    return counts.reshape(2 * WORDS, 2 * WORDS).astype(np.float64)


HIDDEN = make_sources(SyntheticParameters(components=2, words=WORDS))


@pytest.fixture(scope="module")
def held_out() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [sample_counts(component, 400, rng) for component in range(3)]


def measure(counts: np.ndarray, held_out: list[np.ndarray]) -> list[float]:
    """XE of the bigram model on the held-out text of every component."""
    total = counts.sum(axis=1, keepdims=True) + 2 * WORDS * SMOOTHING
    log_p = np.log((counts + SMOOTHING) / total)
    return [float(-(text * log_p).sum() / text.sum()) for text in held_out]


@pytest.fixture(scope="module")
def runs(held_out: list[np.ndarray]) -> MixtureRuns:
    """All subsets at all budgets, several draws of training documents each."""
    rng = np.random.default_rng(2)
    tokens, xe = [], []
    for _ in range(DRAWS):
        for total in BUDGETS:
            for chosen in all_sets(3):
                share = total // len(chosen)
                counts = sum(sample_counts(component, share, rng) for component in chosen)
                tokens.append(np.isin(range(3), chosen) * share * DOCUMENT)
                xe.append(measure(np.asarray(counts), held_out))
    return MixtureRuns(COMPONENTS, np.array(tokens), np.array(xe))


@pytest.fixture(scope="module")
def fit(runs: MixtureRuns) -> LawFit:
    return fit_law(runs)


def test_a_copy_is_worth_one_and_text_without_anything_in_common_nothing(fit: LawFit) -> None:
    matrix = exchange_matrix(fit)
    np.testing.assert_allclose(matrix, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=0.1)
    copy = fit.estimate("tau", "one", "copy").interval
    assert copy.low <= 1 <= copy.high
    assert fit.estimate("tau", "one", "far").interval.low <= 0.01


def test_direct_rates_agree(held_out: list[np.ndarray], runs: MixtureRuns, fit: LawFit) -> None:
    rng = np.random.default_rng(3)
    xe = np.array(
        [[measure(sample_counts(0, size, rng), held_out)[0] for size in SIZES] for _ in range(12)]
    )
    curve = SpecialistCurve("one", np.array(SIZES) * DOCUMENT, xe.mean(axis=0))
    direct = direct_exchange(runs, own_text_equivalents(runs, curve))
    for source in ("copy", "far"):
        rates = np.array([rate.tau.value for rate in direct if rate.source == source])
        assert rates.mean() == pytest.approx({"copy": 1, "far": 0}[source], abs=0.15)
        assert rates.mean() == pytest.approx(
            fit.estimate("tau", "one", source).interval.value, abs=0.2
        )


def test_the_law_predicts_real_learners_best(runs: MixtureRuns) -> None:
    laws = ["transfer", "own_tokens", "exponential", "constant"]
    predictions = held_out_predictions(runs, laws, ["k", "budget"])
    table = prediction_errors(predictions).set_index(["law", "held_out"])
    errors = table.error.unstack()
    assert np.isnan(errors.loc["exponential", "k"])  # two other K do not determine it
    differences = (errors - errors.loc["transfer"]).drop("transfer").stack().dropna()
    assert (differences > 0.005).all()
    relative = table.relative_error
    assert relative["transfer"].max() < 0.01
