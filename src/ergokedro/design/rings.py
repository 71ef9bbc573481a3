"""The text of a run's components, each taken as a ring of one or more spans of the store."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ergokedro.design.component_text import Span, count_tokens


class Rings:
    """Finds the tokens of windows in the store, where a component's text has several spans.

    The text of a component is a ring: after its last token follows its first one. Positions count
    the tokens of all rings, one ring after another.

    Parameters
    ----------
    texts : the spans of every component, in order; no two spans have a token in common.
    """

    def __init__(self, texts: Iterable[tuple[Span, ...]]):
        rows, base = [], 0
        for spans in texts:
            size, position = count_tokens(spans), base
            for start, stop in spans:
                rows.append((start, stop, position, base, size))
                position += stop - start
            base += size
        # Columns by ascending start in the store: positions need not ascend with it.
        table = np.array(sorted(rows), dtype=np.int64).T
        self._starts, self._stops, self._positions, self._bases, self._sizes = table
        self._by_position = np.argsort(self._positions)

    def cross(self, starts: np.ndarray, length: int) -> np.ndarray:
        """Which windows of `length` tokens reach beyond the span that they begin in: bool."""
        return starts + length > self._stops[np.searchsorted(self._stops, starts, side="right")]

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """The tokens of windows, wherever their text continues: int64 (len(starts), length)."""
        span = np.searchsorted(self._starts, starts, side="right") - 1
        bases, sizes = self._bases[span], self._sizes[span]
        first = starts - self._starts[span] + self._positions[span] - bases
        inside = (first[:, None] + np.arange(length)) % sizes[:, None]
        return self._tokens(bases[:, None] + inside)

    def _tokens(self, positions: np.ndarray) -> np.ndarray:
        """The tokens of the store at positions in all rings."""
        ascending = self._positions[self._by_position]
        span = self._by_position[np.searchsorted(ascending, positions, side="right") - 1]
        return self._starts[span] + positions - self._positions[span]

    def tokens(self, first: int, positions: np.ndarray) -> np.ndarray:
        """The tokens of the store at `positions` in the ring that begins at its token `first`."""
        base = self._bases[np.searchsorted(self._starts, first)]
        return self._tokens(base + positions)
