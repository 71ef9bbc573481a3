"""An evaluation window in the tokens of another tokenizer, over the same characters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TextWindow:
    """The characters that a window's tokens 2..W stand for, in other tokens.

    Attributes
    ----------
    ids : int64 (n,), what a model reads: tokens before the characters, then those that have some of
        them. The other tokens have one token of context there, as the window's own have.
    ends : int64 (m + 1,), the position in the text, in characters, where the last m of `ids` begin
        and end.
    borders : int64 (W,), where each token of the window ends.
    """

    ids: np.ndarray
    ends: np.ndarray
    borders: np.ndarray

    def spread(self, nll: np.ndarray) -> np.ndarray:
        """NLL of each token of the window from that of the other tokens.

        The NLL of a token is spread evenly over its characters. Sums over a window therefore only
        depend on this where a token reaches beyond the window's characters.

        Parameters
        ----------
        nll : (>= n - 1,), of `ids` from the second on, nats.

        Returns
        -------
        float64 (W - 1,), nats.
        """
        scored = len(self.ends) - 1
        sums = np.zeros(scored + 1)
        np.cumsum(nll[len(self.ids) - 1 - scored : len(self.ids) - 1], out=sums[1:])
        # Of several tokens that end at the same character, the last one completes it.
        last = np.append(self.ends[1:] != self.ends[:-1], True)
        return np.diff(np.interp(self.borders, self.ends[last], sums[last]))


def text_window(
    borders: np.ndarray, ids: np.ndarray, ends: np.ndarray, before: list[int], text_start: int
) -> TextWindow:
    """The other tokens that have characters of a window's tokens 2..W.

    Parameters
    ----------
    borders : int64 (W,), where each token of the window ends in its document.
    ids, ends : of the document's other tokens, integers (n,); `ends` never falls.
    before : ids that a model reads before every text.
    text_start : id that is read in their place if there are none and the first token of the text
        is scored, since a model predicts no token without another one before it.
    """
    # The last token that ends before or with the window's first one is the context.
    context = int(np.searchsorted(ends, borders[0], side="right")) - 1
    last = int(np.searchsorted(ends, borders[-1], side="left"))
    stop = int(np.searchsorted(ends, ends[last], side="right")) if last < len(ends) else last
    if context < 0:
        read, edges = [*(before or [text_start]), *ids[:stop]], [0, *ends[:stop]]
    else:
        read, edges = [*before, *ids[context:stop]], [*ends[context:stop]]
    return TextWindow(np.array(read, np.int64), np.array(edges, np.int64), borders)
