"""Views of the training windows for people who use PyTorch's own loaders."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from ergokedro.windows import TrainingWindows


class WindowDataset(Dataset[torch.Tensor]):
    """Map-style view of one epoch; item i is window i of the training order, int64 (W,)."""

    def __init__(self, windows: TrainingWindows, epoch: int = 0):
        self._windows = windows
        self._epoch = epoch

    def __len__(self) -> int:
        return self._windows.n_windows

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> torch.Tensor:
        """Windows of `indices` by one gather, int64 (len(indices), W)."""
        return torch.from_numpy(self._windows.gather(self._windows.epoch(self._epoch)[indices]))


class WindowBatches(IterableDataset[torch.Tensor]):
    """Iterable view of a run: batches int64 (b, W) in training order, from any step on.

    Use it with ``DataLoader(..., batch_size=None)``. Each rank gets its rows of every global
    batch; workers take turns by step, so their number does not change the order.
    """

    def __init__(
        self,
        windows: TrainingWindows,
        batch_size: int,
        epochs: int,
        *,
        first_step: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ):
        self._windows = windows
        self._batch_size = batch_size
        self._first_step = first_step
        self._epochs = epochs
        self._last_step = epochs * windows.steps_per_epoch(batch_size)
        self._rank = rank
        self._ranks = ranks

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        if workers == 1:  # the fastest form: PyTorch's workers only slow it down
            batches = self._windows.batches(self._batch_size, self._epochs, self._first_step)
        else:
            steps = range(self._first_step + number, self._last_step, workers)
            batches = (self._windows.batch(step, self._batch_size) for step in steps)
        for batch in batches:
            yield torch.from_numpy(batch[self._rank :: self._ranks])
