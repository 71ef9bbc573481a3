"""Effects of known size and sign are found: components that are copies, or share half their states.

The learner counts pairs of words, so its cross entropy in the limit of much text follows exactly
from the sources. Its estimates go through the same contrasts as those of trained models.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ergokedro.analysis.contrasts import differences
from ergokedro.analysis.random_effects import Estimate
from ergokedro.analysis.series import Selection
from ergokedro.data.hmm import HiddenMarkovSource, stationary
from ergokedro.data.synthetic import sample_words
from ergokedro.parameters import AnalysisParameters

WORDS, TOTAL, DRAWS = 10, 120_000, 3
HELD_OUT, LENGTH = 40, 300


def make_source(emission: np.ndarray, transition: np.ndarray) -> HiddenMarkovSource:
    return HiddenMarkovSource(stationary(transition), transition, emission)


def make_sources() -> dict[str, HiddenMarkovSource]:
    """a and its copy, b without anything in common, and one with two of four states of a."""
    rng = np.random.default_rng(1)
    transition = 0.7 * np.eye(4) + 0.3 * rng.dirichlet(np.ones(4), size=4)
    own, other = rng.dirichlet(np.full(WORDS, 0.3), size=(2, 4)) * 0.95 + 0.05 / WORDS
    half = np.vstack([own[:2], other[2:]])
    return {
        "a": make_source(own, transition),
        "copy": make_source(own, transition),
        "half": make_source(half, transition),
        "b": make_source(other, transition),
    }


SOURCES = make_sources()


def pairs(source: HiddenMarkovSource) -> np.ndarray:
    """Probability of every pair of neighbouring words, float64 (V, V)."""
    states = stationary(source.transition)[:, None] * source.transition
    return source.emission.T @ states @ source.emission


def exact_xe(members: list[str]) -> float:
    """XE on the text of a, of the best predictor of a word from the one before it in a mixture."""
    mixture = np.mean([pairs(SOURCES[name]) for name in members], axis=0)
    conditional = mixture / mixture.sum(axis=1, keepdims=True)
    return float(-(pairs(SOURCES["a"]) * np.log(conditional)).sum())


def learned_nll(members: list[str], text: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """NLL of a document's words, of a learner trained on TOTAL words of all members together."""
    counts = np.full((WORDS, WORDS), 0.5)
    for name in members:
        words = sample_words(SOURCES[name], TOTAL // len(members) // LENGTH, LENGTH, rng)
        np.add.at(counts, (words[:, :-1], words[:, 1:]), 1)
    conditional = counts / counts.sum(axis=1, keepdims=True)
    return -np.log(conditional[text[:, :-1], text[:, 1:]])


def effect(members: list[str]) -> Estimate:
    """XE of a after training on all members less that after training on a alone, D the same."""
    text = sample_words(SOURCES["a"], HELD_OUT, LENGTH, np.random.default_rng(2))
    documents, zeros = np.arange(HELD_OUT), np.zeros(HELD_OUT, dtype=np.int64)
    selection = Selection("test", "component", "a", documents, documents, zeros, True)
    experiment: Any = SimpleNamespace(params=AnalysisParameters(confidence=0.99))
    replicates = {
        k: {
            (draw, 0): learned_nll(names, text, np.random.default_rng([draw, k]))
            for draw in range(DRAWS)
        }
        for k, names in ((1, ["a"]), (len(members), members))
    }
    (estimate,) = differences(experiment, selection, replicates).values()
    return estimate


@pytest.mark.parametrize(
    "members", [["a", "copy"], ["a", "b"], ["a", "half"], ["a", "copy", "b"], ["a", "half", "b"]]
)
def test_a_planted_effect_is_found_with_its_size(members: list[str]) -> None:
    planted = exact_xe(members) - exact_xe(["a"])
    found = effect(members)
    assert found.value == pytest.approx(planted, abs=0.01)
    assert found.low < planted < found.high
    if planted > 0.02:
        assert found.p_value < 0.05


def test_a_copy_adds_nothing_and_half_of_the_states_cost_less_than_none() -> None:
    planted = {name: exact_xe(["a", name]) - exact_xe(["a"]) for name in SOURCES}
    assert planted["copy"] == pytest.approx(0, abs=1e-12)
    assert 0.02 < planted["half"] < planted["b"]
    # With a copy of a, K = 3 is a mixture of two thirds of a: less than K = 2 without the copy.
    assert exact_xe(["a", "copy", "b"]) < exact_xe(["a", "b"])
    assert effect(["a", "half"]).value < effect(["a", "b"]).value
