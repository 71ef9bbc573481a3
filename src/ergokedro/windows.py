"""The order of training windows: a pure function of (manifest, seed, epoch).

Each epoch and component draws a fresh random phase; the component's span, taken as a ring, is cut
into exactly its share of windows from that phase on, so every token of the span is seen once an
epoch while window borders differ between epochs. All components' windows are shuffled together.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ergokedro.mixture import Component, Manifest
from ergokedro.store import TokenStore


class TrainingWindows:
    """All training windows of one run, addressed by step.

    Parameters
    ----------
    store : the token store that the manifest was made for.
    manifest : what to train on.
    seed : of phases and order.
    """

    def __init__(self, store: TokenStore, manifest: Manifest, seed: int):
        self._store = store
        self._manifest = manifest
        self._seed = seed
        self._cached: tuple[int, np.ndarray] | None = None

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
        if self._cached is None or self._cached[0] != epoch:
            self._cached = epoch, self._order(epoch)
        return self._cached[1]

    def _order(self, epoch: int) -> np.ndarray:
        manifest = self._manifest
        rng = np.random.default_rng([self._seed, epoch, manifest.order_key])
        starts = np.concatenate([self._cut(component, rng) for component in manifest.components])
        return rng.permutation(starts)

    def _cut(self, component: Component, rng: np.random.Generator) -> np.ndarray:
        """First tokens of one component's windows in one epoch, in the order of the text."""
        length = self.window_length
        if self._manifest.within_documents:
            return self._cut_documents(component, rng)
        phase = rng.integers(length)
        span = component.stop - component.start
        return component.start + (phase + length * np.arange(component.windows)) % span

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

    def gather(self, starts: np.ndarray) -> np.ndarray:
        """Windows from their first tokens: int64 (len(starts), window_length)."""
        length = self.window_length
        tokens = self._store.tokens
        view = sliding_window_view(tokens, length)
        batch = view[np.minimum(starts, len(view) - 1)].astype(np.int64)
        if not self._manifest.within_documents:
            for component in self._manifest.components:  # at most one window each wraps around
                wraps = (starts > component.stop - length) & (starts < component.stop)
                for row in np.flatnonzero(wraps):
                    ring = np.arange(starts[row], starts[row] + length)
                    ring[ring >= component.stop] -= component.stop - component.start
                    batch[row] = tokens[ring]
        return batch

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """The batch of one optimizer step, int64 (b, window_length).

        Steps count from 0 over all epochs; any step can be had without the ones before it.
        """
        epoch, place = divmod(step, self.steps_per_epoch(batch_size))
        starts = self.epoch(epoch)[place * batch_size : (place + 1) * batch_size]
        return self.gather(starts)
