"""Per-token negative log-likelihood of held-out windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from numpy.lib.stride_tricks import sliding_window_view

from ergokedro.design.records import RunSummary
from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import weights_fingerprint
from ergokedro.models.gpt_neox import GPTNeoX


def token_nll(model: GPTNeoX, tokens: np.ndarray, batch_size: int) -> np.ndarray:
    """NLL of tokens 2..W of every window given the tokens before.

    Parameters
    ----------
    tokens : integers (n, W).
    batch_size : windows in a forward pass.

    Returns
    -------
    float32 (n, W - 1), nats.
    """
    batches = (tokens[i : i + batch_size] for i in range(0, len(tokens), batch_size))
    return np.concatenate([_batch_nll(model, batch) for batch in batches])


def _batch_nll(model: GPTNeoX, tokens: np.ndarray) -> np.ndarray:
    # In float32 on every device: bfloat16 logits have three digits, too few to measure with.
    device = next(model.parameters()).device
    with torch.inference_mode():
        batch = torch.from_numpy(tokens.astype(np.int64)).to(device)
        return model.nll(batch).cpu().numpy()


def evaluate(
    model: GPTNeoX,
    tokens: np.ndarray,
    windows: pd.DataFrame,
    window_length: int,
    batch_size: int,
    on_windows: Callable[[int], None] = lambda n: None,
) -> dict[str, np.ndarray]:
    """NLL of all evaluation windows, by split; holds one batch of tokens at a time.

    Parameters
    ----------
    tokens : uint16 (n_tokens,), the store's tokens.
    windows : the evaluation windows; columns split and start.
    on_windows : called with the number of windows done after each batch.

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
            parts.append(_batch_nll(model, batch))
            on_windows(len(batch))
        result[str(split)] = np.concatenate(parts)
    return result


def pick_windows(
    tokens: np.ndarray, windows: pd.DataFrame, window_length: int, most: int
) -> dict[str, np.ndarray]:
    """Up to `most` windows of every component, spread evenly over `windows`.

    Returns
    -------
    component -> uint16 (n, window_length)
    """
    view = sliding_window_view(tokens, window_length)
    picked = {}
    for component, starts in windows.groupby("component", sort=False).start:
        places = np.linspace(0, len(starts) - 1, min(most, len(starts))).round().astype(int)
        picked[str(component)] = view[starts.to_numpy()[places]]
    return picked


def check_weights(model: torch.nn.Module, summary: RunSummary, manifest: str) -> None:
    """Raise an error if `summary` describes another model, or one of another manifest.

    Raises
    ------
    ErgokedroError
        With the command that trains it anew.
    """
    same = weights_fingerprint(model) == summary.final_weights
    if not same or summary.manifest != manifest:
        raise ErgokedroError(
            f"The saved model of {summary.run} was trained on another manifest or was changed. "
            f"Run `kedro run --pipelines training --params k={summary.k}` to train it anew."
        )
