"""The best number of epochs in one run: averages of the weights at a constant learning rate.

An average over the last part of a training at a constant rate is about as good as the end of a
training whose rate falls to zero (Hägele et al. 2024, Scaling laws and compute-optimal training
beyond fixed training durations), so one run has the XE at every number of epochs. The average is
the power function of Karras et al. 2024 (Analyzing and improving the training dynamics of diffusion
models, section 3.1), whose width is a share of the steps made:

    average_t = b average_(t-1) + (1 - b) weights_t,   b = (1 - 1/t)^(p + 1),

so that the weights after step s count as s^p. Its XE on validation text is measured twice an epoch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ergokedro.models.causal_lm import CausalLM
from ergokedro.training.distributed import Workers
from ergokedro.training.evaluation import mean_nll
from ergokedro.training.job import TrainingJob

_POWER = 7  # a standard deviation of a tenth of the steps
# The run ends when a quarter more steps have not lowered the XE by so much, nats per token.
_PATIENCE, _GAIN = 1.25, 1e-3
_NONE = 1e9  # before the first measurement; a number that JSON has


class AveragedWeights:
    """The average of a model's weights over its steps, and the best average so far.

    Parameters
    ----------
    model : on its device; it gets the weights of the best average when the run ends.
    workers : the processes that share every step; the first one measures.

    Attributes
    ----------
    ended : whether further steps are not worth their cost, or all are made.
    """

    def __init__(self, job: TrainingJob, model: CausalLM, workers: Workers):
        self._job, self._model, self._workers = job, model, workers
        self._every = max(1, round(job.steps_per_epoch / 2))
        self._weights = [weight.detach() for weight in model.parameters()]
        self._average = [weight.clone() for weight in self._weights]
        self._best = [weight.clone() for weight in self._weights]
        self._best_xe, self._best_step = _NONE, 0
        # XE and step from which the gain is counted.
        self._mark_xe, self._mark_step = _NONE, 0
        self.ended = False

    @property
    def best_epochs(self) -> float:
        """Passes over the text, of the best average so far."""
        return self._best_step / self._job.steps_per_epoch

    def add(self, step: int) -> float | None:
        """Count the weights after `step` steps; gives the average's XE where it is measured."""
        torch._foreach_lerp_(self._average, self._weights, 1 - (1 - 1 / step) ** (_POWER + 1))
        if step % self._every and step != self._job.steps:
            return None
        xe = self._workers.share(self._measure() if self._workers.leads else 0.0)
        if xe < self._best_xe:
            self._best_xe, self._best_step = xe, step
            torch._foreach_copy_(self._best, self._average)
        if xe < self._mark_xe - _GAIN:
            self._mark_xe, self._mark_step = xe, step
        self.ended = step == self._job.steps or step >= _PATIENCE * self._mark_step
        if self.ended:
            torch._foreach_copy_(self._weights, self._best)
        return xe

    def _measure(self) -> float:
        """XE of the average on the validation windows of what the run trains on."""
        own = [self._job.validation[label] for label in self._job.averaged_for]
        current = [weight.clone() for weight in self._weights]
        torch._foreach_copy_(self._weights, self._average)
        xe = mean_nll(self._model, np.concatenate(own), 4 * self._job.params.batch_size)
        torch._foreach_copy_(self._weights, current)
        return xe

    def state(self, *, resumable: bool) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """What a checkpoint keeps; tensors only if `resumable`."""
        kept = {"average": self._average, "best": self._best} if resumable else {}
        tensors = {f"{name}.{i}": t for name, part in kept.items() for i, t in enumerate(part)}
        best, mark = (self._best_xe, self._best_step), (self._mark_xe, self._mark_step)
        return tensors, {"best": best, "mark": mark, "ended": self.ended}

    def restore(self, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
        """Continue from what :meth:`state` gave."""
        for name, part in (("average", self._average), ("best", self._best)):
            for i, tensor in enumerate(part):
                if f"{name}.{i}" in tensors:
                    tensor.copy_(tensors[f"{name}.{i}"])
        self._best_xe, self._best_step = values["best"]
        self._mark_xe, self._mark_step = values["mark"]
        self.ended = values["ended"]
