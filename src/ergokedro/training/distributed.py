"""Who trains a run: one process, or several of which each takes some rows of every batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.synchronize import Event
from typing import Any

import torch
import torch.distributed as dist

from ergokedro.progress import ProgressBar, Stopped, progress_bar

Message = tuple[str, Any]


class Alone:
    """One process, which has the whole batch."""

    size = 1
    leads = True  # logs, validates and saves

    def part(self, batch: torch.Tensor) -> torch.Tensor:
        """The rows of a batch that are this process's."""
        return batch

    def add_up(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """Make gradients and loss those of the whole batch; gives the loss, a scalar."""
        return loss

    def progress_bar(
        self, description: str, total: float, unit: str, done: float = 0
    ) -> AbstractContextManager[ProgressBar]:
        """As :func:`ergokedro.progress.progress_bar`."""
        return progress_bar(description, total=total, unit=unit, done=done)


class Rank(Alone):
    """One of several processes, in an initialised process group.

    All start from the same weights and make the same step with the same gradients, so that no
    weights need be exchanged. Only the first leads.

    Parameters
    ----------
    tell : sends a message to the process that waits for the result.
    stop : set by that process to end the training.
    """

    def __init__(self, tell: Callable[[Message], None], stop: Event):
        self._rank, self.size = dist.get_rank(), dist.get_world_size()
        self.leads = self._rank == 0
        self._tell, self._stop = tell, stop
        self._parent = os.getppid()
        # For the word that tells all to stop: on the CPU, so that no step waits for a GPU.
        self._control = dist.new_group(backend="gloo")

    def part(self, batch: torch.Tensor) -> torch.Tensor:
        """Every so many-th row, so that uneven batches are spread evenly."""
        return batch[self._rank :: self.size]

    def add_up(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """One sum over all processes: of every gradient, and of the loss."""
        weights = list(model.parameters())
        parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([loss.reshape(1), *(part.reshape(-1) for part in parts)])
        dist.all_reduce(flat)
        gradients = flat[1:].split([weight.numel() for weight in weights])
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.view_as(weight)
        return flat[0]

    @contextmanager
    def progress_bar(
        self, description: str, total: float, unit: str, done: float = 0
    ) -> Iterator[ProgressBar]:
        """Progress that is shown by the process that waits."""
        if self.leads:
            self._tell(("begin", {"total": total, "unit": unit, "done": done}))
        yield self

    def update(self, amount: float, **fields: str) -> None:
        """Tell of progress; all processes stop at the same step, or none."""
        if self.leads:
            self._tell(("update", (amount, fields)))
        if os.getppid() != self._parent:  # nobody waits any more
            os._exit(1)
        stop = torch.tensor(float(self.leads and self._stop.is_set()))
        dist.all_reduce(stop, group=self._control)
        if stop:
            raise Stopped
