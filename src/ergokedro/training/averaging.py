"""The best number of epochs in one run: averages of the weights at a constant learning rate.

An average over the last part of a training at a constant rate is about as good as the end of a
training whose rate falls to zero (Hägele et al. 2024, Scaling laws and compute-optimal training
beyond fixed training durations), so one run has the XE at every number of epochs. That depends on
the length: with 100,000 tokens it was better here, with 4.4 million worse by 0.14 nats, which the
row `specialist_less_k1` of the results shows. The average is the power function of Karras et al.
2024 (Analyzing and improving the training dynamics of diffusion models, section 3.1), whose width
is a share of the steps made:

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
_NOT_MEASURED = 1e9  # XE before the first measurement: JSON has no infinity


class AveragedWeights:
    """Averages a model's weights over the steps of a run, and keeps the best average so far.

    The best average is the one with the lowest XE on the validation windows of the components in
    `job.averaged_for`. When the run ends, the model gets its weights.

    Parameters
    ----------
    model : on its device.
    workers : the processes that share every step; the leading one measures the XE.

    Attributes
    ----------
    ended : whether the run ends: all steps are made, or more of them did not lower the XE.
    """

    def __init__(self, job: TrainingJob, model: CausalLM, workers: Workers):
        self._job, self._model, self._workers = job, model, workers
        self._every = max(1, round(job.steps_per_epoch / 2))
        self._weights = [weight.detach() for weight in model.parameters()]
        self._average = [weight.clone() for weight in self._weights]
        self._best = [weight.clone() for weight in self._weights]
        self._best_xe, self._best_step = _NOT_MEASURED, 0
        # At the last step that lowered the XE by `_GAIN` or more.
        self._gain_xe, self._gain_step = _NOT_MEASURED, 0
        self.ended = False

    @property
    def best_epochs(self) -> float:
        """Passes over the text after which the average was best so far."""
        return self._best_step / self._job.steps_per_epoch

    def add(self, step: int) -> float | None:
        """Add the model's weights after `step` steps to the average.

        Returns
        -------
        XE of the average, nats per token, if it was measured: every half epoch and after the last
        step. Else None.
        """
        torch._foreach_lerp_(self._average, self._weights, 1 - (1 - 1 / step) ** (_POWER + 1))
        if step % self._every and step != self._job.steps:
            return None
        xe = self._workers.share(self._measure() if self._workers.leads else 0.0)
        if xe < self._best_xe:
            self._best_xe, self._best_step = xe, step
            torch._foreach_copy_(self._best, self._average)
        if xe < self._gain_xe - _GAIN:
            self._gain_xe, self._gain_step = xe, step
        self.ended = step == self._job.steps or step >= _PATIENCE * self._gain_step
        if self.ended:
            torch._foreach_copy_(self._weights, self._best)
        return xe

    def _measure(self) -> float:
        """XE of the average on the validation windows of what the run trains on, nats per token."""
        own = [self._job.validation[label] for label in self._job.averaged_for]
        current = [weight.clone() for weight in self._weights]
        torch._foreach_copy_(self._weights, self._average)
        xe = mean_nll(self._model, np.concatenate(own), 4 * self._job.params.batch_size)
        torch._foreach_copy_(self._weights, current)
        return xe

    def state(self, *, resumable: bool) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors and JSON-able values from which :meth:`restore` continues.

        Parameters
        ----------
        resumable : whether steps are left; without any, no tensors are needed.
        """
        kept = {"average": self._average, "best": self._best} if resumable else {}
        tensors = {f"{name}.{i}": t for name, part in kept.items() for i, t in enumerate(part)}
        best, gain = (self._best_xe, self._best_step), (self._gain_xe, self._gain_step)
        # 'mark' is the name in files of earlier commands.
        return tensors, {"best": best, "mark": gain, "ended": self.ended}

    def restore(self, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
        """Set the state to what :meth:`state` returned."""
        for name, part in (("average", self._average), ("best", self._best)):
            for i, tensor in enumerate(part):
                if f"{name}.{i}" in tensors:
                    tensor.copy_(tensors[f"{name}.{i}"])
        self._best_xe, self._best_step = values["best"]
        self._gain_xe, self._gain_step = values["mark"]
        self.ended = values["ended"]
