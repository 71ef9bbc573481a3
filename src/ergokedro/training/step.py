"""Optimizer steps: the gradient of a batch, in parts that fit in memory, and the update."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.optim import Optimizer

from ergokedro.errors import ErgokedroError
from ergokedro.models.causal_lm import CausalLM
from ergokedro.training.batches import batches_on
from ergokedro.training.device import autocast, compiles
from ergokedro.training.distributed import Workers
from ergokedro.training.job import TrainingJob
from ergokedro.training.lr_schedule import learning_rate
from ergokedro.training.optimizers import OPTIMIZERS

log = logging.getLogger(__name__)
Loss = Callable[[torch.Tensor], torch.Tensor]


class StepResult(NamedTuple):
    """Loss and gradient norm of one step, scalars on the device, and its number of windows.

    Attributes
    ----------
    loss : mean NLL of the batch before the step, nats per token.
    norm : global gradient norm before clipping.
    windows : number of windows in the batch.
    """

    loss: torch.Tensor
    norm: torch.Tensor
    windows: int


class Stepper:
    """Makes the optimizer steps of a run, without waiting for the device.

    Parameters
    ----------
    model : on its device; changed by every step.
    workers : the processes that share every step.

    Attributes
    ----------
    optimizers : together they hold every weight of `model` once.
    """

    def __init__(self, job: TrainingJob, model: CausalLM, workers: Workers):
        device = next(model.parameters()).device
        self._job, self._workers = job, workers
        self.model = model
        self.optimizers = OPTIMIZERS[job.params.optimizer](model, job.params)
        self._batch = batches_on(device, job.windows, job.params.batch_size)
        self._loss_of = training_loss(model, device, job.params.compile)
        self._micro_batch = job.params.micro_batch or job.params.batch_size

    def step(self, index: int) -> StepResult:
        """Make step `index`, 0..steps - 1, of the run."""
        batch = self._batch(index)
        share = self._backward(self._workers.rows(batch), len(batch))
        loss = self._workers.sum_up(self.model, share)
        params = self._job.params
        rate = learning_rate(index, self._job.steps, params)
        norm = update(self.model, self.optimizers, rate, params.gradient_clip)
        return StepResult(loss, norm, len(batch))

    def _backward(self, rows: torch.Tensor, batch: int) -> torch.Tensor:
        """Loss and gradients of `rows`, in smaller micro-batches if memory is too small."""
        while True:
            try:
                return accumulate(self._loss_of, rows, self._micro_batch, batch)
            except torch.OutOfMemoryError:
                self._halve(len(rows))

    def _halve(self, rows: int) -> None:
        """Delete the gradients and halve the micro-batch.

        Raises
        ------
        ErgokedroError
            If the micro-batch is a single window.
        """
        self.model.zero_grad(set_to_none=True)
        if self._micro_batch == 1:
            raise ErgokedroError(
                "A single window does not fit in the device's memory. Choose a smaller "
                "model.preset or mixture.window_length."
            ) from None
        self._micro_batch = -(-min(self._micro_batch, rows) // 2)
        torch.cuda.empty_cache()
        log.warning(
            "%s: out of memory; continues with micro-batches of %d windows, batches of %d",
            self._job.name,
            self._micro_batch,
            self._job.params.batch_size,
        )


def training_loss(model: CausalLM, device: torch.device, compiled: bool | None) -> Loss:
    """The model's loss function for training, compiled or as it is.

    Parameters
    ----------
    compiled : the setting `training.compile`.
    """
    if not compiles(compiled, device):
        return model.loss
    # The last batch of an epoch may be smaller: two graphs of fixed shapes.
    return cast(Loss, torch.compile(model.loss, dynamic=False))


def accumulate(
    loss_of: Loss, rows: torch.Tensor, micro_batch: int, batch: int | None = None
) -> torch.Tensor:
    """Add the gradients of the mean NLL of a batch, as far as it comes from some of its rows.

    Every window has the same number of predictions, so a micro-batch is weighted by its number of
    windows, and so by its tokens, not by one over the number of micro-batches.

    Parameters
    ----------
    loss_of : gives the mean NLL of windows.
    rows : windows, int64 (b, W), which pass through the model `micro_batch` at a time.
    batch : windows in the whole batch, if `rows` are not all of it.

    Returns
    -------
    Sum over the rows of their mean NLL, divided by the windows of the whole batch: a scalar on the
    device, nats per token.
    """
    total = torch.zeros((), device=rows.device)
    for part in rows.split(micro_batch) if len(rows) else ():
        with autocast(rows.device):
            loss = loss_of(part) * (len(part) / (batch or len(rows)))
        loss.backward()
        total += loss.detach()
    return total


def update(
    model: nn.Module, optimizers: list[Optimizer], learning_rate: float, clip: float
) -> torch.Tensor:
    """Clip the gradients, make one step of every optimizer, and free the gradients.

    A parameter group's learning rate is `learning_rate` times its `lr_scale`, 1 if it has none.

    Parameters
    ----------
    clip : largest global norm of the gradients.

    Returns
    -------
    The global norm before clipping, a scalar on the device, which is not waited for.
    """
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * group.get("lr_scale", 1.0)
        optimizer.step()
    model.zero_grad(set_to_none=True)
    return norm.detach()
