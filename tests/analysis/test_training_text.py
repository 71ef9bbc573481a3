"""What the training text alone says: of first tokens, and of the end of documents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import write_range_store
from ergokedro.analysis.training_text import end_of_text_cost, token_nll, training_text
from ergokedro.design.accounting import token_accounting
from ergokedro.design.mixture import design_mixtures
from ergokedro.parameters import MixtureParameters


def test_tokens_are_smoothed_by_the_text_of_all_components() -> None:
    counts = np.array([[6.0, 2.0, 0.0, 0.0], [0.0, 8.0, 4.0, 0.0]])
    probability = np.exp(-token_nll(counts))
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    pooled = np.array([7, 11, 5, 1]) / 24
    np.testing.assert_allclose(probability[0], (counts[0] + 2 * pooled) / 10)
    # A token that only one component has speaks for it, and one that none has for neither.
    assert probability[1, 2] > 3 * probability[0, 2] > 0
    unseen = np.exp(-token_nll(np.array([[500.0, 0.0], [500.0, 0.0]])))
    assert unseen[0, 1] == unseen[1, 1]


def test_the_end_of_a_document_is_expected_where_nothing_tells_the_place() -> None:
    """Counted out: in windows of 3 tokens, after 1 and 2 tokens of documents of 5 and 7."""
    expected = np.mean([-np.log(1 - 2 / (12 - 2)), -np.log(1 - 2 / (12 - 4))])
    assert end_of_text_cost(np.array([5, 7, 3, 2]), 3) == pytest.approx(expected)
    # The synthetic corpus: documents of 1,000 words and windows of 100.
    assert end_of_text_cost(np.full(750, 1001), 100) == pytest.approx(0.00105, abs=2e-5)
    assert end_of_text_cost(np.array([2, 3]), 3) == 0


def test_it_is_read_from_the_store(tmp_path: Path) -> None:
    documents = {("train", "a"): [5, 5], ("train", "b"): [6, 6], ("test", "a"): [5]}
    tokens = np.array([1, 1, 1, 2, 0] * 2 + [2, 2, 2, 2, 1, 0] * 2 + [1, 2, 3, 1, 0])
    store = write_range_store(tmp_path / "store", documents, 4, tokens)
    design = design_mixtures(
        store, token_accounting(store), MixtureParameters(top_n=2, window_length=2)
    )
    windows = pd.DataFrame({"split": "test", "start": [22, 23, 24]})
    text = training_text(store, windows, design)
    counts = np.array([[0.0, 6, 2, 0], [0, 2, 8, 0]])
    np.testing.assert_allclose(text.first_token["test"], token_nll(counts)[:, [1, 2, 3]])
    assert text.end_of_text == pytest.approx({"a": -np.log(1 - 2 / 8), "b": -np.log(1 - 2 / 10)})
