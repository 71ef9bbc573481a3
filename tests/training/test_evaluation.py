"""NLL per token: against float64, causal, independent of the batch, in the windows' order."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ergokedro.models import cross_entropy
from ergokedro.models.factory import build_model, model_config
from ergokedro.models.gpt_neox.modules import GPTNeoX
from ergokedro.parameters import ModelParameters
from ergokedro.training.evaluation import evaluate, pick_windows, token_nll

VOCABULARY = 300


@pytest.fixture(scope="module")
def model() -> GPTNeoX:
    """Large random weights, so that predictions are far from uniform."""
    params = ModelParameters(hidden_size=32, initializer_range=0.5)
    model = build_model(model_config(params, VOCABULARY), seed=0)
    assert isinstance(model, GPTNeoX)
    return model


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    """Windows as the store holds them."""
    return np.random.default_rng(0).integers(0, VOCABULARY, (13, 20)).astype(np.uint16)


def reference_nll(model: GPTNeoX, tokens: np.ndarray) -> np.ndarray:
    """The definition, in float64, one window at a time."""
    double: Any = copy.deepcopy(model).double().eval()
    rows = []
    for window in tokens.astype(np.int64):
        logits = double(torch.from_numpy(window[None, :]))[0].detach().numpy()
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows.append([-log_p[t - 1, window[t]] for t in range(1, len(window))])
    return np.array(rows)


@pytest.mark.parametrize("tile", [(2048, 512), (7, 10)])
def test_nll_equals_a_float64_reference(
    model: GPTNeoX, tokens: np.ndarray, tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, and in tiles of rows and vocabulary whose last ones are smaller."""
    monkeypatch.setattr(cross_entropy, "_TILE_ROWS", tile[0])
    monkeypatch.setattr(cross_entropy, "_TILE_CLASSES", tile[1])
    nll = token_nll(model, tokens, batch_size=5)
    expected = reference_nll(model, tokens)
    assert expected.std() > 0.5
    assert nll.dtype == np.float32
    assert nll.shape == (13, 19)
    np.testing.assert_allclose(nll, expected, rtol=3e-6, atol=1e-5)


@pytest.mark.parametrize("place", [1, 7, 19])
def test_a_token_changes_nothing_before_it(model: GPTNeoX, tokens: np.ndarray, place: int) -> None:
    changed = tokens.copy()
    changed[:, place] = (changed[:, place] + 1) % VOCABULARY
    before, after = token_nll(model, tokens, 13), token_nll(model, changed, 13)
    # Column t holds the prediction of token t + 1.
    np.testing.assert_array_equal(before[:, : place - 1], after[:, : place - 1])
    assert (before[:, place - 1 :] != after[:, place - 1 :]).any(axis=0).all()


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_batches_do_not_matter(model: GPTNeoX, tokens: np.ndarray, batch_size: int) -> None:
    expected = token_nll(model, tokens, 13)
    np.testing.assert_allclose(token_nll(model, tokens, batch_size), expected, atol=1e-5)


def test_large_ids_are_read_as_unsigned() -> None:
    model = build_model(model_config(ModelParameters(hidden_size=8), 40_000), seed=0)
    tokens = np.array([[39_999, 3, 32_768, 39_998]])
    np.testing.assert_array_equal(
        token_nll(model, tokens.astype(np.uint16), 1), token_nll(model, tokens, 1)
    )


def windows_table(starts: list[int]) -> pd.DataFrame:
    """Half of the windows in each split, components in turn."""
    n = len(starts)
    return pd.DataFrame(
        {
            "split": ["validation"] * (n // 2) + ["test"] * (n - n // 2),
            "component": ["a", "b"] * (n // 2),
            "document": range(n),
            "start": starts,
        }
    )


def test_evaluation_keeps_the_order_of_the_windows(model: GPTNeoX) -> None:
    stream = np.random.default_rng(1).integers(0, VOCABULARY, 500).astype(np.uint16)
    starts = [40, 3, 200, 77, 490, 0, 100, 8]
    done: list[int] = []
    nll = evaluate(model, stream, windows_table(starts), 10, batch_size=3, on_windows=done.append)
    assert list(nll) == ["validation", "test"]
    rows = np.stack([stream[start : start + 10] for start in starts])
    expected = reference_nll(model, rows)
    np.testing.assert_allclose(np.concatenate(list(nll.values())), expected, atol=1e-5)
    assert done == [3, 1, 3, 1]


def test_picked_windows_are_spread_over_each_component() -> None:
    stream = np.arange(1000, dtype=np.uint16)
    starts = list(range(0, 400, 10))
    picked = pick_windows(stream, windows_table(starts), window_length=5, limit=3)
    assert list(picked) == ["a", "b"]
    assert picked["a"][:, 0].tolist() == [0, 200, 380]
    assert picked["b"].tolist() == [list(range(s, s + 5)) for s in (10, 210, 390)]
    everything = pick_windows(stream, windows_table(starts), window_length=5, limit=99)
    assert everything["a"][:, 0].tolist() == starts[::2]
