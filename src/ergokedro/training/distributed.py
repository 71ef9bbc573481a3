"""The processes that train a run: one, or several that each take some rows of every batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist

from ergokedro.errors import ErgokedroError
from ergokedro.progress import ProgressBar, Stopped, progress_bar

Value = TypeVar("Value")


class Workers(Protocol):
    """The processes that train one run together, as the training loop sees them from one of them.

    Every process calls the same methods in the same order.
    """

    @property
    def size(self) -> int:
        """Number of processes."""

    @property
    def leads(self) -> bool:
        """Whether this process logs, validates and saves; exactly one does."""

    def rows(self, batch: torch.Tensor) -> torch.Tensor:
        """The rows of a batch that this process computes."""

    def share(self, value: Value) -> Value:
        """The `value` of the leading process, in every process."""

    def sum_up(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """Replace the model's gradients by their sums over all processes.

        Returns
        -------
        The sum of `loss`, a scalar, over all processes.
        """

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

    def share(self, value: Value) -> Value:
        """The value itself."""
        return value

    def sum_up(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """`loss` itself: there is nothing to add."""
        return loss

    def progress_bar(
        self, description: str, total: float, unit: str, done: float = 0
    ) -> AbstractContextManager[ProgressBar]:
        """As :func:`ergokedro.progress.progress_bar`."""
        return progress_bar(description, total=total, unit=unit, done=done)


class ProcessGroup:
    """One process of torch's process group, which is initialised.

    All processes start from the same weights, those of the seed or of a checkpoint that the first
    one reads, and make the same step with the same gradients, so that no weights need be exchanged.
    The first one leads.
    """

    def __init__(self) -> None:
        self._rank, self.size = dist.get_rank(), dist.get_world_size()
        self.leads = self._rank == 0
        # For agreements: on the CPU, so that no step waits for a GPU.
        self._control = dist.new_group(backend="gloo")

    def rows(self, batch: torch.Tensor) -> torch.Tensor:
        """Every `size`-th row, so that uneven batches are spread evenly."""
        return batch[self._rank :: self.size]

    def share(self, value: Value) -> Value:
        """The first process's value, which is pickled."""
        values = [value]
        with _contact():
            dist.broadcast_object_list(values, src=0, group=self._control)
        return values[0]

    def sum_up(self, model: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        """As :meth:`Workers.sum_up`, by one all-reduce over all gradients and the loss."""
        weights = list(model.parameters())
        parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([loss.reshape(1), *(part.reshape(-1) for part in parts)])
        with _contact():
            dist.all_reduce(flat)
        gradients = flat[1:].split([weight.numel() for weight in weights])
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.view_as(weight)
        return flat[0]

    @contextmanager
    def progress_bar(
        self, description: str, total: float, unit: str, done: float = 0
    ) -> Iterator[ProgressBar]:
        """Progress that the first process shows."""
        if not self.leads:
            yield _SharedProgress(self, None)
            return
        with progress_bar(description, total=total, unit=unit, done=done) as bar:
            yield _SharedProgress(self, bar)

    def stop_if(self, cancelled: bool) -> None:
        """Stop all processes after the same step.

        Raises
        ------
        Stopped
            In every process, if `cancelled` is true in the first one.
        """
        stop = torch.tensor(float(cancelled))
        with _contact():
            dist.broadcast(stop, src=0, group=self._control)
        if stop:
            raise Stopped


def process_group(processes: int) -> Workers:
    """The processes that share a run: torch's process group if it is initialised, else this one.

    Parameters
    ----------
    processes : the setting `training.processes`.

    Raises
    ------
    ErgokedroError
        If the number of processes is another one.
    """
    initialised = dist.is_available() and dist.is_initialized()
    size = dist.get_world_size() if initialised else 1
    if size != processes:
        raise ErgokedroError(
            f"training.processes = {processes}, but {size} share this run. Add `--runner "
            "ergokedro.runtime.RayRunner` to the command, which starts them; or, in Python, "
            "initialise torch's process group before."
        )
    return ProcessGroup() if size > 1 else SingleProcess()


@contextmanager
def _contact() -> Iterator[None]:
    """Raise LostContactError if the collective operation in the block fails."""
    try:
        yield
    except RuntimeError as error:
        raise LostContactError(str(error)) from error


class _SharedProgress:
    """The progress bar of a process group.

    Parameters
    ----------
    bar : of the first process; None in the others.
    """

    def __init__(self, group: ProcessGroup, bar: ProgressBar | None):
        self._group, self._bar = group, bar

    def update(self, amount: float, **fields: str) -> None:
        """Show progress; raises Stopped in every process if the first one was cancelled."""
        cancelled = False
        try:
            if self._bar is not None:
                self._bar.update(amount, **fields)
        except Stopped:
            cancelled = True
        self._group.stop_if(cancelled)
