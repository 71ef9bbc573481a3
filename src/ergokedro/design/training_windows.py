"""The order of training windows: a pure function of (manifest, seed, epoch).

Each epoch and component draws a fresh random phase; the component's text, taken as a ring, is cut
into exactly its share of windows from that phase on, so every token of the text is seen once per
epoch while window borders differ between epochs. Then all components' windows are shuffled
together: over the whole epoch, or, for stores larger than memory, block by block.

Where windows stay inside documents, a document of n windows and r further tokens leaves out r
tokens in every epoch: split at random over two gaps, each before a random window or after the last
one. So no token is seen twice in an epoch, each is seen with a probability of at least
(n / (n + 1))^2, and window borders vary. (Without gaps between windows a document's first token
would be seen with a probability of 1 / (r + 1).) Documents shorter than a window are never seen.
The manifest counts both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np

from ergokedro.data.token_store import TokenStore
from ergokedro.design.component_text import document_pieces
from ergokedro.design.mixture import Component, Manifest
from ergokedro.design.rings import Rings

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
        """What a loader's worker process gets: no tokens, and no order, which it computes."""
        state = {**self.__dict__, "_cached": None, "_ahead": None}
        for made in ("_records", "_rings"):
            state.pop(made, None)
        return state

    @property
    def window_length(self) -> int:
        """Tokens in a window."""
        return self._manifest.window_length

    @property
    def dtype(self) -> np.dtype:
        """The type of the store's tokens, uint16 or uint32."""
        return self._store.dtype

    @property
    def n_windows(self) -> int:
        """Windows per epoch."""
        return self._manifest.total_windows

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches per epoch; the last one may be smaller."""
        return -(-self.n_windows // batch_size)

    def epoch(self, epoch: int) -> np.ndarray:
        """First tokens of the epoch's windows in training order, int64 (n_windows,).

        A window that reaches beyond a span of its component's text continues in the next span, and
        after the last one in the first.
        """
        return self._epoch(epoch)[0]

    def _epoch(self, epoch: int) -> tuple[np.ndarray, list[int]]:
        """First tokens in order, and the ascending indices of the windows that cross spans."""
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
        # Of a text in one span only the last window can reach beyond it.
        last = [
            part if component.more_spans else part[-1:]
            for part, component in zip(parts, manifest.components, strict=True)
        ]
        candidates = np.concatenate(last)
        crossing = candidates[self._rings.cross(candidates, self.window_length)]
        return starts, np.flatnonzero(np.isin(starts, crossing)).tolist()

    def _cut(self, component: Component, rng: np.random.Generator) -> np.ndarray:
        """First tokens of one component's windows in one epoch, in the order of the text."""
        length = self.window_length
        if self._manifest.within_documents:
            return self._cut_documents(component, rng)
        positions = rng.integers(length) + length * np.arange(component.windows)
        if component.more_spans:
            return self._rings.tokens(component.start, positions)
        return component.start + positions

    def _cut_documents(self, component: Component, rng: np.random.Generator) -> np.ndarray:
        """As `_cut`, with windows inside documents; what is left over is split in two gaps, each
        before a random window of the document or after its last one."""
        documents = self._store.documents("train", component.label)
        starts, lengths = document_pieces(documents, component.spans)
        n, rest = np.divmod(lengths, self.window_length)
        gap = rng.integers(rest + 1)
        before, also_before = rng.integers(n + 1), rng.integers(n + 1)
        row = np.repeat(np.arange(len(n)), n)
        window = np.arange(len(row)) - np.repeat(np.cumsum(n) - n, n)
        shift = np.where(window >= before[row], gap[row], 0)
        shift += np.where(window >= also_before[row], (rest - gap)[row], 0)
        return starts[row] + window * self.window_length + shift

    @cached_property
    def _rings(self) -> Rings:
        return Rings(component.spans for component in self._manifest.components)

    def rings(self) -> dict[int, np.ndarray]:
        """All that is trained on, by span: its first token -> its tokens, and those that follow
        them in the component's text, as far as a window may reach: `dtype` (n + W - 1,)."""
        tokens = self._store.tokens
        spans = [span for component in self._manifest.components for span in component.spans]
        last = np.array([stop - 1 for _, stop in spans])
        following = self._rings.windows(last, self.window_length)[:, 1:]
        return {
            start: np.concatenate([tokens[start:stop], tokens[more]])
            for (start, stop), more in zip(spans, following, strict=True)
        }

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Windows from their first tokens: int64 (len(starts), window_length)."""
        return self._gather(starts, self._crossing(starts)).astype(np.int64)

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """The batch of one optimizer step, int64 (b, window_length), an array of its own.

        Steps count from 0 over all epochs; a step does not depend on the ones before it.
        """
        epoch, index = divmod(step, self.steps_per_epoch(batch_size))
        first = index * batch_size
        return self._rows(epoch, first, min(first + batch_size, self.n_windows))

    def batches(self, batch_size: int, epochs: int, first_step: int = 0) -> Iterator[np.ndarray]:
        """The batches of all steps from `first_step` on, int64 (b, window_length).

        The same as `batch` gives, faster: several are read at a time, and the order of the next
        epoch is computed meanwhile. They are views of a shared array.
        """
        start, index = divmod(first_step, self.steps_per_epoch(batch_size))
        ahead = max(1, _AHEAD_WINDOWS // batch_size) * batch_size
        with ThreadPoolExecutor(1) as pool:
            for epoch in range(start, epochs):
                self._epoch(epoch)
                following = pool.submit(self._order, epoch + 1) if epoch + 1 < epochs else None
                for first in range(index * batch_size, self.n_windows, ahead):
                    rows = self._rows(epoch, first, min(first + ahead, self.n_windows))
                    for row in range(0, len(rows), batch_size):
                        yield rows[row : row + batch_size]
                index = 0
                if following is not None:
                    self._cached = epoch + 1, *following.result()

    def _rows(self, epoch: int, first: int, stop: int) -> np.ndarray:
        """Windows first..stop of an epoch's order, int64."""
        if self._block_shuffle:
            return self._read_ahead(epoch, first, stop)
        return self._read(epoch, first, stop).astype(np.int64)

    def _read(self, epoch: int, first: int, stop: int) -> np.ndarray:
        """As `_rows`, in the type of the store."""
        starts, crossing = self._epoch(epoch)
        inside = crossing[bisect_left(crossing, first) : bisect_left(crossing, stop)]
        return self._gather(starts[first:stop], [index - first for index in inside])

    def _read_ahead(self, epoch: int, first: int, stop: int) -> np.ndarray:
        """As `_rows`, from stretches of a group's length that are read in the order of the store:
        a disk reads neighbours together, and single windows at random offsets slowly."""
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
            windows[rows] = self._gather(starts[rows], self._crossing(starts[rows]))
        return windows

    @cached_property
    def _records(self) -> np.ndarray:
        """The window from every token on, as one item: overlapping records of the same bytes.

        Indexing it copies the bytes of a window at once, while indexing a two-dimensional view
        copies token by token.
        """
        tokens, length = self._store.tokens, self.window_length
        item = tokens.dtype.itemsize
        return np.ndarray(
            (len(tokens) - length + 1,), f"V{length * item}", buffer=tokens, strides=(item,)
        )

    def _gather(self, starts: np.ndarray, crossing: list[int]) -> np.ndarray:
        """As `gather`, in the type of the store; the rows `crossing` are those that cross spans."""
        tokens, length = self._store.tokens, self.window_length
        if not crossing:
            return self._records[starts].view(tokens.dtype).reshape(-1, length)
        inside = starts.copy()
        inside[crossing] = 0
        batch = self._gather(inside, [])
        batch[crossing] = tokens[self._rings.windows(starts[crossing], length)]
        return batch

    def _crossing(self, starts: np.ndarray) -> list[int]:
        """Indices of the windows that cross spans."""
        return np.flatnonzero(self._rings.cross(starts, self.window_length)).tolist()


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
    # A component's blocks get evenly spaced keys with a random shift, so that every stretch of the
    # epoch holds each component by its share, up to one block.
    counts = [-(-len(part) // block) for part in parts]
    keys = np.concatenate([(rng.permutation(n) + rng.random(n)) / n for n in counts])
    order = np.argsort(keys, kind="stable")
    groups = [order[i : i + group] for i in range(0, len(order), group)]
    return np.concatenate(
        [rng.permutation(np.concatenate([blocks[i] for i in members])) for members in groups]
    )
