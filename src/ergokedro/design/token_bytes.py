"""How many bytes of text tokens stand for, which bits per byte need."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer

_ROWS = 4096  # windows at a time


def predicted_bytes(
    store: TokenStore, tokenizer: Tokenizer, starts: np.ndarray, window_length: int
) -> np.ndarray:
    """Bytes of UTF-8 that the tokens 2..W of each window stand for.

    Parameters
    ----------
    starts : first tokens of the windows in the store.

    Returns
    -------
    int64 (len(starts),). XE in nats per token times (W - 1) / (bytes * log 2) is bits per byte.
    """
    view = sliding_window_view(store.tokens, window_length)
    parts = [view[starts[i : i + _ROWS]] for i in range(0, len(starts), _ROWS)]
    sizes = bytes_per_token(tokenizer)
    if sizes is None:
        return np.concatenate([_decoded_bytes(tokenizer, windows) for windows in parts])
    return np.concatenate([sizes[windows[:, 1:]].sum(axis=1) for windows in parts])


def bytes_per_token(tokenizer: Tokenizer) -> np.ndarray | None:
    """Bytes that each token id stands for, int64 (vocab_size,); None if that depends on the tokens
    around it, as it may unless the tokenizer is a byte-level BPE."""
    from tokenizers import decoders

    backend = tokenizer.backend
    if not isinstance(backend.decoder, decoders.ByteLevel):
        return None
    sizes = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    # The byte-level alphabet writes one character for each byte.
    for token, index in backend.get_vocab(with_added_tokens=False).items():
        sizes[index] = len(token)
    for index, added in backend.get_added_tokens_decoder().items():
        sizes[index] = len(added.content.encode())
    return sizes


def _decoded_bytes(tokenizer: Tokenizer, windows: np.ndarray) -> np.ndarray:
    """As :func:`predicted_bytes`, from the text that windows and their first tokens decode to."""
    sizes = [
        len(tokenizer.decode(ids).encode()) - len(tokenizer.decode(ids[:1]).encode())
        for ids in windows.tolist()
    ]
    return np.array(sizes, dtype=np.int64)
