"""Negative log-likelihood (NLL) per token of held-out windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from numpy.lib.stride_tricks import sliding_window_view

from ergokedro.models.causal_lm import CausalLM


def token_nll(model: CausalLM, tokens: np.ndarray, batch_size: int) -> np.ndarray:
    """NLL of tokens 2..W of every window given the tokens before.

    Parameters
    ----------
    tokens : integers (n, W).
    batch_size : windows per forward pass.

    Returns
    -------
    float32 (n, W - 1), nats.
    """
    batches = (tokens[i : i + batch_size] for i in range(0, len(tokens), batch_size))
    return np.concatenate([batch_nll(model, batch) for batch in batches])


def mean_nll(model: CausalLM, tokens: np.ndarray, batch_size: int) -> float:
    """Mean of :func:`token_nll` over all tokens, nats per token; summed in float64."""
    return float(token_nll(model, tokens, batch_size).mean(dtype=np.float64))


def batch_nll(model: CausalLM, tokens: np.ndarray) -> np.ndarray:
    """As :func:`token_nll`, in one forward pass."""
    # In float32 on every device: bfloat16 logits have three digits, too few for a measurement.
    device = next(model.parameters()).device
    with torch.inference_mode():
        batch = torch.from_numpy(tokens.astype(np.int64)).to(device)
        return model.nll(batch).cpu().numpy()


def evaluate(
    model: CausalLM,
    tokens: np.ndarray,
    windows: pd.DataFrame,
    window_length: int,
    batch_size: int,
    on_windows: Callable[[int], None] = lambda n: None,
) -> dict[str, np.ndarray]:
    """NLL of all evaluation windows, by split; holds one batch of tokens in memory at a time.

    Parameters
    ----------
    tokens : uint16 or uint32 (n_tokens,), the store's tokens.
    windows : the evaluation windows; columns split and start.
    on_windows : called after each batch with its number of windows.

    Returns
    -------
    split -> float32 (windows of the split, window_length - 1), in the order of `windows`.
    """
    view = sliding_window_view(tokens, window_length)
    result = {}
    for split, starts in windows.groupby("split", sort=False).start:
        parts = []
        for first in range(0, len(starts), batch_size):
            batch = view[starts.to_numpy()[first : first + batch_size]]
            parts.append(batch_nll(model, batch))
            on_windows(len(batch))
        result[str(split)] = np.concatenate(parts)
    return result


def pick_windows(
    tokens: np.ndarray, windows: pd.DataFrame, window_length: int, limit: int
) -> dict[str, np.ndarray]:
    """Up to `limit` windows of every component, spread evenly over `windows`.

    Returns
    -------
    component -> as `tokens`, (n, window_length)
    """
    view = sliding_window_view(tokens, window_length)
    picked = {}
    for component, starts in windows.groupby("component", sort=False).start:
        rows = np.linspace(0, len(starts) - 1, min(limit, len(starts))).round().astype(int)
        picked[str(component)] = view[starts.to_numpy()[rows]]
    return picked
