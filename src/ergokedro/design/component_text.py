"""A component's training text: where its draws begin, and which tokens a share of it is.

The documents of a component stand in a seeded random order, so any stretch of the text is a random
sample of documents. A draw is such a stretch: the text is taken as a ring, draw d begins at its
own place on it, and a share is the first tokens from there on. Therefore

- draw 0 is the beginning of the text;
- inside a draw, a smaller share is a prefix of a larger one;
- draws share no token where the text is long enough for all of them;
- where it is not, their beginnings are evenly spaced, which makes the average overlap of two draws
  as small as it can be: every token lies in as equal a number of draws as possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import pyarrow as pa

from ergokedro.data.token_store import TokenStore

# First token and end (exclusive) of a stretch of the store.
Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class ComponentText:
    """The training documents of one component, as a ring.

    Positions on the ring count tokens or, where windows stay inside documents, the windows that
    the documents give.

    Attributes
    ----------
    offsets, lengths : int64 (documents,), first token and number of tokens of each document, in
        the order of the store; the end-of-text token is part of a document.
    window_length : tokens in a window.
    within_documents : whether windows stay inside documents.
    """

    offsets: np.ndarray
    lengths: np.ndarray
    window_length: int
    within_documents: bool

    @cached_property
    def _ends(self) -> np.ndarray:
        """Position on the ring after each document: int64 (documents,)."""
        sizes = self.lengths // self.window_length if self.within_documents else self.lengths
        return np.cumsum(sizes)

    @property
    def size(self) -> int:
        """Positions on the ring."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def window_size(self) -> int:
        """Positions that one window takes."""
        return 1 if self.within_documents else self.window_length

    @property
    def windows(self) -> int:
        """Whole windows that all of the text gives."""
        return self.size // self.window_size

    def spans(self, first: int, windows: int) -> tuple[Span, ...]:
        """The text that gives `windows` windows from position `first` on, as spans of the store.

        Two spans where it passes the end of the text and goes on at its beginning.
        """
        stop = first + windows * self.window_size
        if stop <= self.size:
            return ((self._token(first), self._end(stop)),)
        beginning = (self._token(0), self._end(stop - self.size))
        return ((self._token(first), self._end(self.size)), beginning)

    def _token(self, position: int) -> int:
        """The token at a position on the ring."""
        document = int(np.searchsorted(self._ends, position, side="right"))
        return self._inside(document, position)

    def _end(self, position: int) -> int:
        """End (exclusive) of the text before a position; the last document is whole if it can be,
        with the tokens that it has left over after its windows."""
        document = int(np.searchsorted(self._ends, position, side="left"))
        if self._ends[document] == position:
            return int(self.offsets[document] + self.lengths[document])
        return self._inside(document, position)

    def _inside(self, document: int, position: int) -> int:
        before = int(self._ends[document - 1]) if document else 0
        tokens = (position - before) * self.window_length // self.window_size
        return int(self.offsets[document]) + tokens

    def draw_starts(self, draws: int, share: int) -> list[int]:
        """Positions at which `draws` draws begin.

        If the text is long enough, each draw begins at the first document after the `share`
        windows of the draw before, so that draws have no document in common and further draws
        leave the earlier ones as they are. Otherwise they are evenly spaced: shares of at most
        1 / `draws` of the text still have no token in common.

        Parameters
        ----------
        share : the most windows that any run takes of one draw.
        """
        taken = share * self.window_size
        borders = np.concatenate([[0], self._ends])
        starts = [0]
        while len(starts) < draws:
            document = int(np.searchsorted(borders, starts[-1] + taken))
            if document == len(borders) or borders[document] + taken > self.size:
                return [draw * self.size // draws for draw in range(draws)]
            starts.append(int(borders[document]))
        return starts


def component_text(
    store: TokenStore, label: str, window_length: int, within_documents: bool
) -> ComponentText:
    """The training text of the component `label`."""
    documents = store.documents("train", label)
    offsets, lengths = (documents[name].to_numpy() for name in ("offset", "length"))
    return ComponentText(offsets, lengths, window_length, within_documents)


def document_pieces(documents: pa.Table, spans: tuple[Span, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What lies in `spans` of each document, in the order of the spans.

    Parameters
    ----------
    documents : columns offset and length, ascending.

    Returns
    -------
    First tokens and lengths: int64 (pieces,) each.
    """
    offsets, lengths = documents["offset"].to_numpy(), documents["length"].to_numpy()
    first = [np.maximum(offsets, start) for start, _ in spans]
    stop = [np.minimum(offsets + lengths, stop) for _, stop in spans]
    starts, sizes = np.concatenate(first), np.concatenate(stop) - np.concatenate(first)
    return starts[sizes > 0], sizes[sizes > 0]


def count_tokens(spans: tuple[Span, ...]) -> int:
    """Tokens in spans that have none in common."""
    return sum(stop - start for start, stop in spans)


def common_tokens(one: tuple[Span, ...], other: tuple[Span, ...]) -> int:
    """Tokens that lie in both of two sets of spans."""
    return sum(max(0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in product(one, other))
