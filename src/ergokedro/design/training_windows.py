"""The order of training windows: a pure function of (manifest, seed, epoch).

Each epoch and component draws a fresh random phase; the component's span, taken as a ring, is cut
into exactly its share of windows from that phase on, so every token of the span is seen once an
epoch while window borders differ between epochs. Then all components' windows are shuffled
together: over the whole epoch, or, for stores larger than memory, block by block.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np

from ergokedro.data.token_store import TokenStore
from ergokedro.design.mixture import Component, Manifest

# The block shuffle: windows that are neighbours in the store, and blocks that are mixed at a time.
# With windows of 100 tokens a block is 0.8 MB and a group, which is held in memory, 52 MB.
BLOCK_WINDOWS = 4096
GROUP_BLOCKS = 64
# What `TrainingWindows.batches` reads at a time: few enough to stay in the processor's cache.
_AHEAD_WINDOWS = 2048


class TrainingWindows:
    """All training windows of one run, addressed by step.

    Parameters
    ----------
    store : the token store that the manifest was made for.
    manifest : what to train on.
    seed : of phases and order.
    block_shuffle : mix the windows of a group of blocks at a time, so that the store is read block
        by block, instead of all windows of the epoch.
    """

    def __init__(
        self, store: TokenStore, manifest: Manifest, seed: int, *, block_shuffle: bool = False
    ):
        self._store = store
        self._manifest = manifest
        self._seed = seed
        self._block_shuffle = block_shuffle
        self._cached: tuple[int, np.ndarray, list[int]] | None = None
        self._ahead: tuple[int, int, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a loader's worker process gets: no tokens, and no order, which it can make."""
        state = {**self.__dict__, "_cached": None, "_ahead": None}
        state.pop("_records", None)
        return state

    @property
    def window_length(self) -> int:
        """Tokens in a window."""
        return self._manifest.window_length

    @property
    def n_windows(self) -> int:
        """Windows in an epoch."""
        return self._manifest.total_windows

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches in an epoch; its last one may be smaller."""
        return -(-self.n_windows // batch_size)

    def epoch(self, epoch: int) -> np.ndarray:
        """First tokens of the epoch's windows in training order, int64 (n_windows,).

        A window that reaches beyond its component's span goes on at the span's first token.
        """
        return self._epoch(epoch)[0]

    def _epoch(self, epoch: int) -> tuple[np.ndarray, list[int]]:
        """First tokens in order, and the ascending places of the windows that wrap around."""
        if self._cached is None or self._cached[0] != epoch:
            self._cached = epoch, *self._order(epoch)
        return self._cached[1:]

    def _order(self, epoch: int) -> tuple[np.ndarray, list[int]]:
        manifest = self._manifest
        rng = np.random.default_rng([self._seed, epoch, manifest.order_key])
        parts = [self._cut(component, rng) for component in manifest.components]
        if self._block_shuffle:
            starts = shuffle_blocks(parts, rng, BLOCK_WINDOWS, GROUP_BLOCKS)
        else:
            starts = np.concatenate(parts)
            starts = starts[rng.permutation(len(starts))]
        # Only the last window of a component can wrap around.
        last = np.array([part[-1] for part in parts])
        wraps = np.flatnonzero(np.isin(starts, last[self._wraps(last)]))
        return starts, wraps.tolist()

    def _cut(self, component: Component, rng: np.random.Generator) -> np.ndarray:
        """First tokens of one component's windows in one epoch, in the order of the text."""
        length = self.window_length
        if self._manifest.within_documents:
            return self._cut_documents(component, rng)
        phase = rng.integers(length)
        return component.start + phase + length * np.arange(component.windows)

    def _cut_documents(self, component: Component, rng: np.random.Generator) -> np.ndarray:
        """As `_cut`, with a phase for each document, drawn from the tokens that it leaves over."""
        documents = self._store.documents("train", component.label)
        offsets, lengths = documents["offset"].to_numpy(), documents["length"].to_numpy()
        used = offsets < component.stop
        offsets, lengths = offsets[used], lengths[used]
        n = lengths // self.window_length
        first = offsets + rng.integers(lengths - n * self.window_length + 1)
        place = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        starts = np.repeat(first, n) + place * self.window_length
        return starts[: component.windows]

    def rings(self) -> dict[int, np.ndarray]:
        """All that is trained on: a component's first token -> its tokens, and then the first of
        them again, where a window may go on: uint16 (n + window_length - 1,)."""
        tokens, more = self._store.tokens, self.window_length - 1
        return {
            c.start: np.concatenate([tokens[c.start : c.stop], tokens[c.start : c.start + more]])
            for c in self._manifest.components
        }

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Windows from their first tokens: int64 (len(starts), window_length)."""
        wraps = np.flatnonzero(self._wraps(starts)).tolist()
        return self._gather(starts, wraps).astype(np.int64)

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """The batch of one optimizer step, int64 (b, window_length), an array of its own.

        Steps count from 0 over all epochs; any step can be had without the ones before it.
        """
        epoch, place = divmod(step, self.steps_per_epoch(batch_size))
        first = place * batch_size
        return self._rows(epoch, first, min(first + batch_size, self.n_windows))

    def batches(self, batch_size: int, epochs: int, first_step: int = 0) -> Iterator[np.ndarray]:
        """The batches of all steps from `first_step` on, int64 (b, window_length).

        The same as `batch` gives, faster: several are read at a time, each a view of them, and the
        order of the next epoch is made meanwhile.
        """
        start, place = divmod(first_step, self.steps_per_epoch(batch_size))
        ahead = max(1, _AHEAD_WINDOWS // batch_size) * batch_size
        with ThreadPoolExecutor(1) as pool:
            for epoch in range(start, epochs):
                self._epoch(epoch)
                following = pool.submit(self._order, epoch + 1) if epoch + 1 < epochs else None
                for first in range(place * batch_size, self.n_windows, ahead):
                    rows = self._rows(epoch, first, min(first + ahead, self.n_windows))
                    for row in range(0, len(rows), batch_size):
                        yield rows[row : row + batch_size]
                place = 0
                if following is not None:
                    self._cached = epoch + 1, *following.result()

    def _rows(self, epoch: int, first: int, stop: int) -> np.ndarray:
        """Windows first..stop of an epoch's order, int64."""
        if self._block_shuffle:
            return self._read_ahead(epoch, first, stop)
        return self._read(epoch, first, stop).astype(np.int64)

    def _read(self, epoch: int, first: int, stop: int) -> np.ndarray:
        """As `_rows`, uint16."""
        starts, wraps = self._epoch(epoch)
        inside = wraps[bisect_left(wraps, first) : bisect_left(wraps, stop)]
        return self._gather(starts[first:stop], [place - first for place in inside])

    def _read_ahead(self, epoch: int, first: int, stop: int) -> np.ndarray:
        """As `_rows`, out of stretches of a group's length that are read in the order of the
        store: a disk gives neighbours together, and a window in the middle of nowhere slowly."""
        length = BLOCK_WINDOWS * GROUP_BLOCKS
        parts = []
        for stretch in range(first // length, (stop - 1) // length + 1):
            if self._ahead is None or self._ahead[:2] != (epoch, stretch):
                self._ahead = None  # free it before the next is read
                self._ahead = epoch, stretch, self._read_sorted(epoch, stretch * length, length)
            begin = max(first, stretch * length)
            end = min(stop, (stretch + 1) * length)
            parts.append(self._ahead[2][begin - stretch * length : end - stretch * length])
        return np.concatenate(parts, dtype=np.int64)

    def _read_sorted(self, epoch: int, first: int, length: int) -> np.ndarray:
        """As `_read`, reading the store from its beginning to its end, a block at a time."""
        starts = self.epoch(epoch)[first : first + length]
        windows = np.empty((len(starts), self.window_length), self._store.tokens.dtype)
        order = np.argsort(starts)
        for i in range(0, len(order), BLOCK_WINDOWS):
            rows = order[i : i + BLOCK_WINDOWS]
            wraps = np.flatnonzero(self._wraps(starts[rows])).tolist()
            windows[rows] = self._gather(starts[rows], wraps)
        return windows

    @cached_property
    def _records(self) -> np.ndarray:
        """A window from every token on, as one item each: overlapping records of the same bytes.

        Indexing it copies 200 bytes a window at once, where indexing a two-dimensional view copies
        token by token.
        """
        tokens, length = self._store.tokens, self.window_length
        item = tokens.dtype.itemsize
        return np.ndarray(
            (len(tokens) - length + 1,), f"V{length * item}", buffer=tokens, strides=(item,)
        )

    def _gather(self, starts: np.ndarray, wraps: list[int]) -> np.ndarray:
        """As `gather`, uint16, where the rows `wraps` are those that wrap around."""
        tokens, length = self._store.tokens, self.window_length
        if not wraps:
            return self._records[starts].view(tokens.dtype).reshape(-1, length)
        inside = starts.copy()
        inside[wraps] = 0
        batch = self._gather(inside, [])
        for row in wraps:
            component = self._component(starts[row])
            ring = np.arange(starts[row], starts[row] + length)
            ring[ring >= component.stop] -= component.stop - component.start
            batch[row] = tokens[ring]
        return batch

    def _wraps(self, starts: np.ndarray) -> np.ndarray:
        """Which windows reach beyond their component's span: bool, at most one a component."""
        if self._manifest.within_documents:
            return np.zeros(len(starts), dtype=bool)
        stops = np.sort([component.stop for component in self._manifest.components])
        return starts + self.window_length > stops[np.searchsorted(stops, starts, side="right")]

    def _component(self, start: int) -> Component:
        """The component whose span a token lies in."""
        return next(c for c in self._manifest.components if c.start <= start < c.stop)


def shuffle_blocks(
    parts: list[np.ndarray], rng: np.random.Generator, block: int, group: int
) -> np.ndarray:
    """Shuffle so that reading stays local: blocks first, then windows inside groups of blocks.

    Parameters
    ----------
    parts : int64, each component's windows in the order of the store.
    block : windows that stay together in the first shuffle.
    group : blocks whose windows are mixed in the second; components are spread over the groups in
        proportion to their size.

    Returns
    -------
    int64, all windows.
    """
    blocks = [part[i : i + block] for part in parts for i in range(0, len(part), block)]
    # A component's blocks get evenly spaced keys with a random shift: every stretch of the epoch
    # then holds each component by its share, up to one block.
    counts = [-(-len(part) // block) for part in parts]
    keys = np.concatenate([(rng.permutation(n) + rng.random(n)) / n for n in counts])
    order = np.argsort(keys, kind="stable")
    groups = [order[i : i + group] for i in range(0, len(order), group)]
    return np.concatenate(
        [rng.permutation(np.concatenate([blocks[i] for i in each])) for each in groups]
    )
