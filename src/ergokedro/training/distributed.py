"""The processes that train a run: one, or several that each take some rows of every batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
import torch.distributed as dist

from ergokedro.progress import Advanced, Began, ProgressBar, Report, Stopped, progress_bar


class Workers(Protocol):
    """What the training loop asks of the processes that share its work, this one among them."""

    @property
    def size(self) -> int:
        """Number of processes."""

    @property
    def leads(self) -> bool:
        """Whether this process logs, validates and saves; exactly one does."""

    def rows(self, batch: torch.Tensor) -> torch.Tensor:
        """The rows of a batch that this process computes."""

    def sum_up(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """Replace gradients by their sums over all processes; give the sum of `loss`, a scalar."""

    def progress_bar(
        self, description: str, total: float, unit: str, done: float = 0
    ) -> AbstractContextManager[ProgressBar]:
        """As :func:`ergokedro.progress.progress_bar`."""


class LostContactError(RuntimeError):
    """A collective operation failed, as it does when another process has ended."""


class SingleProcess:
    """One process, which computes the whole batch."""

    size = 1
    leads = True

    def rows(self, batch: torch.Tensor) -> torch.Tensor:
        """All rows."""
        return batch

    def sum_up(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """Nothing to sum up."""
        return loss

    def progress_bar(
        self, description: str, total: float, unit: str, done: float = 0
    ) -> AbstractContextManager[ProgressBar]:
        """As :func:`ergokedro.progress.progress_bar`."""
        return progress_bar(description, total=total, unit=unit, done=done)


class ProcessGroup:
    """One process of an initialised torch process group.

    All processes start from the same weights and make the same step with the same gradients, so
    that no weights need be exchanged. The first one leads.

    Parameters
    ----------
    send : sends a message to the process that waits for the result.
    is_cancelled : whether the run was cancelled; asked in the leading process only.
    """

    def __init__(self, send: Callable[[Report], None], is_cancelled: Callable[[], bool]):
        self._rank, self.size = dist.get_rank(), dist.get_world_size()
        self.leads = self._rank == 0
        self._send, self._is_cancelled = send, is_cancelled
        # For the agreement to stop: on the CPU, so that no step waits for a GPU.
        self._control = dist.new_group(backend="gloo")

    def rows(self, batch: torch.Tensor) -> torch.Tensor:
        """Every `size`-th row, so that uneven batches are spread evenly."""
        return batch[self._rank :: self.size]

    def sum_up(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """One all-reduce over every gradient and the loss."""
        weights = list(model.parameters())
        parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([loss.reshape(1), *(part.reshape(-1) for part in parts)])
        _all_reduce(flat)
        gradients = flat[1:].split([weight.numel() for weight in weights])
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.view_as(weight)
        return flat[0]

    @contextmanager
    def progress_bar(
        self, description: str, total: float, unit: str, done: float = 0
    ) -> Iterator[ProgressBar]:
        """Progress that the waiting process shows."""
        if self.leads:
            self._send(Began(description, total, unit, done))
        yield _SharedProgress(self, description)

    def report(self, report: Report) -> None:
        """Tell the waiting process of progress."""
        if self.leads:
            self._send(report)

    def stop_if_cancelled(self) -> None:
        """Stop all processes after the same step.

        Raises
        ------
        Stopped
            In every process, if the run was cancelled.
        """
        stop = torch.tensor(float(self.leads and self._is_cancelled()))
        _all_reduce(stop, self._control)
        if stop:
            raise Stopped


def _all_reduce(values: torch.Tensor, group: dist.ProcessGroup | None = None) -> None:
    try:
        dist.all_reduce(values, group=group)
    except RuntimeError as error:
        raise LostContactError(str(error)) from error


class _SharedProgress:
    """The progress bar of a process group."""

    def __init__(self, group: ProcessGroup, description: str):
        self._group, self._description = group, description

    def update(self, amount: float, **fields: str) -> None:
        """Report progress; raises Stopped in every process if the run was cancelled."""
        self._group.report(Advanced(self._description, amount, fields))
        self._group.stop_if_cancelled()
