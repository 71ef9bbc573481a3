"""The training windows as tensors: on a device, and for PyTorch's own loaders."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from ergokedro.design.training_windows import TrainingWindows


def batches_on(
    device: torch.device, windows: TrainingWindows, batch_size: int
) -> Callable[[int], torch.Tensor]:
    """A function that gives the batch of a step on the device, int64 (b, window_length).

    Tokens are copied to a CUDA device once and stay there, if they take less than half of its free
    memory. Otherwise every batch is copied.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        n_tokens = windows.n_windows * windows.window_length
        if n_tokens * windows.dtype.itemsize < free / 2:
            resident = DeviceWindows(windows, device)
            return lambda step: resident.batch(step, batch_size)

    def send(step: int) -> torch.Tensor:
        batch = torch.from_numpy(windows.batch(step, batch_size))
        if device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(device, non_blocking=True)

    return send


class DeviceWindows:
    """Gathers the batches of a run on the device, to which all its tokens are copied once.

    A step then copies nothing to the device; an epoch copies the offsets of its windows.

    Parameters
    ----------
    windows : the run's windows.
    device : where the tokens are held, two or four bytes each, as in the store.
    """

    def __init__(self, windows: TrainingWindows, device: torch.device):
        self._windows = windows
        rings = windows.rings()
        self._starts = np.array(sorted(rings))
        tokens = [rings[start] for start in self._starts]
        # Added to an offset in the store, it gives the offset in the concatenation of all rings.
        lengths = np.array([len(part) for part in tokens])
        self._shift = np.cumsum(lengths) - lengths - self._starts
        joint = np.concatenate(tokens)
        # PyTorch has few operations on unsigned types: the bytes are taken as signed numbers, and
        # the sign is masked away after the gather.
        bits = 8 * joint.dtype.itemsize
        self._tokens = torch.from_numpy(joint.view(f"i{joint.dtype.itemsize}")).to(device)
        self._mask = 2**bits - 1
        self._epoch: tuple[int, torch.Tensor] | None = None

    def batch(self, step: int, batch_size: int) -> torch.Tensor:
        """As :meth:`TrainingWindows.batch`, on the device."""
        epoch, index = divmod(step, self._windows.steps_per_epoch(batch_size))
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._order(epoch)
        starts = self._epoch[1][index * batch_size : (index + 1) * batch_size]
        view = self._tokens.unfold(0, self._windows.window_length, 1)
        return view[starts].long() & self._mask

    def _order(self, epoch: int) -> torch.Tensor:
        """Offsets of the epoch's windows in the concatenation of all rings."""
        starts = self._windows.epoch(epoch)
        span = np.searchsorted(self._starts, starts, side="right") - 1
        return torch.from_numpy(starts + self._shift[span]).to(self._tokens.device)


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
    """Iterable view of a run: batches int64 (b, W) in training order, from `first_step` on.

    Use it with ``DataLoader(..., batch_size=None)``. Each rank gets its rows of every batch;
    workers take turns by step, so their number does not change the order.
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
