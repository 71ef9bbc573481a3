"""What the training text of the components alone, without any model, says about held-out windows.

**First tokens.** The NLL of a window's first token is not measured, but the token tells something
about the component. Its probability under each component is estimated from the training text: the
frequency of the token, smoothed by that in the text of all components as by Witten and Bell (1991,
The zero-frequency problem), so that no component rules a token out.

**End of text.** Held-out windows lie inside documents, so they never have the end-of-text token; a
model that was trained on windows across documents must give it a probability p nonetheless, and
loses -log(1 - p) nats in every prediction. A reader that cannot tell where in a document it is, and
has seen t tokens without it, expects it with the probability

    p_t = documents / (tokens in them - t * documents),

of documents in which a window fits. It is exact where a document's length does not depend on its
text, as in the synthetic corpus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ergokedro.data.token_store import TokenStore
from ergokedro.design.mixture import Design

# Documents stand in random order: so many tokens of a component are enough for its frequencies.
_MOST_TOKENS = 10_000_000


@dataclass(frozen=True)
class TrainingText:
    """NLL of first tokens, and the cost of the end-of-text token, from the training text alone.

    Attributes
    ----------
    first_token : split -> float64 (components, windows of the split), NLL in nats of every window's
        first token under each component, in the order of the design.
    end_of_text : component -> nats per token that a reader loses by the end-of-text token.
    """

    first_token: Mapping[str, np.ndarray]
    end_of_text: Mapping[str, float]


def training_text(store: TokenStore, windows: pd.DataFrame, design: Design) -> TrainingText:
    """Read the training text of the design's components.

    Parameters
    ----------
    windows : evaluation windows; columns split and start, of their first token in the store.
    """
    counts = np.stack([_token_counts(store, name) for name in design.components])
    nll = token_nll(counts)
    first_token = {
        str(split): nll[:, store.tokens[starts.to_numpy()]]
        for split, starts in windows.groupby("split", sort=False).start
    }
    end_of_text = {
        name: end_of_text_cost(
            store.documents("train", name)["length"].to_numpy(), design.window_length
        )
        for name in design.components
    }
    return TrainingText(first_token, end_of_text)


def _token_counts(store: TokenStore, component: str) -> np.ndarray:
    """How often every token occurs in a component's training text: float64 (vocabulary,)."""
    start, stop = store.span("train", component)
    tokens = store.tokens[start : min(stop, start + _MOST_TOKENS)]
    counts = np.bincount(tokens, minlength=store.vocab_size).astype(np.float64)
    counts[store.end_of_text] = 0  # windows do not begin with it
    return counts


def token_nll(counts: np.ndarray) -> np.ndarray:
    """NLL of single tokens under each component, smoothed: see the module.

    Parameters
    ----------
    counts : float64 (components, vocabulary).

    Returns
    -------
    float64, the same shape; nats, finite.
    """
    total = counts.sum(axis=0)
    pooled = (total + 1) / (total.sum() + len(total))
    kinds = (counts > 0).sum(axis=1, keepdims=True)
    return np.asarray(
        -np.log((counts + kinds * pooled) / (counts.sum(axis=1, keepdims=True) + kinds))
    )


def end_of_text_cost(lengths: np.ndarray, window_length: int) -> float:
    """Mean of -log(1 - p_t) over the predictions of a window, nats per token.

    Parameters
    ----------
    lengths : int (documents,), tokens of each document with its end-of-text token.
    """
    fitting = lengths[lengths > window_length]
    if not len(fitting):
        return 0.0
    before = np.arange(1, window_length)
    share = len(fitting) / (fitting.sum() - before * len(fitting))
    return float(-np.log1p(-share).mean())
