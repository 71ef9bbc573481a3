"""Trains many runs of one shape at the same time on one device, as one batched model.

The kernels of a small model take less time on a GPU than launching them does. Here the weights of R
runs are stacked, and every kernel computes all runs: each matrix product becomes R products. The
runs stay independent of each other. Each has its own windows in its own order and its own initial
weights, with the same optimizer, schedule and clipping as if
:func:`ergokedro.training.trainer.train` trained it alone. Sums are made in another order, so
results agree up to rounding, not in every bit.

There are no checkpoints: such a sweep takes seconds to minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from ergokedro.errors import ErgokedroError
from ergokedro.models.causal_lm import CausalLM
from ergokedro.models.factory import build_model
from ergokedro.models.gpt_neox.modules import GPTNeoX
from ergokedro.models.weights import weights_fingerprint
from ergokedro.parameters import MACHINE_SETTINGS
from ergokedro.training.curves import Curves, Stopwatch, ignore
from ergokedro.training.device import autocast, compiles
from ergokedro.training.job import TrainingJob
from ergokedro.training.lr_schedule import learning_rate, points
from ergokedro.training.muon import Muon
from ergokedro.training.optimizers import adamw_of
from ergokedro.training.step import StepResult
from ergokedro.training.trainer import TrainingResult, training_summary

# Validation windows per forward pass, all runs together: their float32 logits take 4 bytes for
# each of 99 positions and every entry of the vocabulary.
_VALIDATION_WINDOWS = 2048
# Steps before the one that is recorded as a CUDA graph: optimizers make their state in the first.
_WARM_UP = 3
_SMALLEST = torch.finfo(torch.float32).tiny


def groups(jobs: Iterable[TrainingJob]) -> list[list[TrainingJob]]:
    """Group jobs that can be trained together: of equal model, protocol and number of windows."""
    grouped: list[list[TrainingJob]] = []
    for job in jobs:
        equal = next((group for group in grouped if _shape(group[0]) == _shape(job)), None)
        grouped.append([job]) if equal is None else equal.append(job)
    return grouped


def _shape(job: TrainingJob) -> tuple[Any, ...]:
    """What jobs that are trained together have in common."""
    protocol = job.params.model_dump(exclude=MACHINE_SETTINGS)
    return job.model, protocol, job.windows.n_windows, job.windows.window_length


def train_together(jobs: list[TrainingJob], device: torch.device) -> list[TrainingResult]:
    """Train one model per job, all at the same time.

    Parameters
    ----------
    jobs : of one group of :func:`groups`; their model is the built-in GPT-NeoX, their optimizer
        'muon' or 'adamw'.

    Returns
    -------
    The result of each job. Its seconds are an equal share of the time that all took.

    Raises
    ------
    ErgokedroError
        If the jobs cannot be trained together, or a loss or gradient norm is not finite.
    """
    _check(jobs)
    models = [build_model(job.model, job.seed) for job in jobs]
    initial = [weights_fingerprint(model) for model in models]
    curves = [Curves(job, ignore) for job in jobs]
    begin = perf_counter()
    ensemble = Ensemble(models, jobs[0], device)
    _make_steps(jobs, ensemble, curves)
    seconds = (perf_counter() - begin) / len(jobs)
    setup = {"device": str(device), "threads": torch.get_num_threads(), "processes": 1}
    ensemble.copy_weights_to(models)
    return [
        TrainingResult(
            model,
            pd.DataFrame(curve.history),
            training_summary(job, curve, model, seconds, before, **setup),
        )
        for job, curve, model, before in zip(jobs, curves, models, initial, strict=True)
    ]


def _check(jobs: list[TrainingJob]) -> None:
    if len(groups(jobs)) != 1:
        raise ErgokedroError(
            "Runs that are trained together have the same model, training settings and number of "
            "windows; these differ. Split them with ergokedro.training.together.groups."
        )
    if any(job.averaged_for for job in jobs):
        raise ErgokedroError(
            "Runs that look for their best number of epochs (controls.specialist_form=best, "
            "training.schedule=averaged) end at different steps and cannot be trained together; "
            "train them one by one."
        )
    optimizer = jobs[0].params.optimizer
    if jobs[0].model["model_type"] != "gpt_neox" or optimizer not in ("muon", "adamw"):
        raise ErgokedroError(
            f"model.architecture = {jobs[0].model['model_type']!r} with training.optimizer = "
            f"{optimizer!r} cannot be trained together; use gpt_neox with muon or adamw, or train "
            "the runs one by one."
        )


def _attention() -> AbstractContextManager[None]:
    """Attention by its definition: products, softmax. vmap lacks the fused forms on CPUs, and on
    CUDA their backward refuses its strides."""
    return sdpa_kernel(SDPBackend.MATH)


class _StackedCrossEntropy(torch.autograd.Function):
    """As :func:`ergokedro.models.cross_entropy.linear_cross_entropy`, for every run by itself.

    It shares no code with that: there the work is done in chunks, in place on a CPU, and in a form
    that torch's compiler fuses on a GPU; this is not compiled.

    Parameters
    ----------
    hidden : (runs, n, width). weight : (runs, classes, width). targets : int64 (runs, n).

    Returns
    -------
    Mean cross entropy of every run: float32 (runs,), nats.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        device, n = hidden.device.type, hidden.shape[1]
        low = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if low else weight.dtype
        rows, matrix, column = hidden.to(dtype), weight.to(dtype), targets[..., None]
        grad = (rows @ matrix.mT).softmax(dim=-1, dtype=torch.float32)
        nll = -grad.gather(-1, column).clamp_min(_SMALLEST).log()
        grad.scatter_add_(-1, column, grad.new_full((1, 1, 1), -1.0).expand_as(column))
        grad = grad.to(dtype)
        ctx.save_for_backward((grad @ matrix).float() / n, (grad.mT @ rows).float() / n)
        return nll.mean(dim=(1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        factor = grads[0][:, None, None]
        return grad_hidden * factor, grad_weight * factor, None


class Ensemble:
    """The models of all runs as one model with stacked weights, and its optimizers.

    Parameters
    ----------
    models : one per run, on the CPU.
    job : of any of the runs.
    graph : on CUDA, record the kernels of a step once as a graph and replay it in later steps:
        launching them one by one takes longer than their work. The loss is compiled as the setting
        `training.compile` says; by default on CUDA alone.
    """

    def __init__(
        self,
        models: list[CausalLM],
        job: TrainingJob,
        device: torch.device,
        *,
        graph: bool = True,
    ):
        self.device, self._params = device, job.params
        self._model = cast(GPTNeoX, build_model(job.model, job.seed)).to(device)
        stacked, _ = stack_module_state(cast(list[nn.Module], models))
        self.weights = {
            name: weight.detach().to(device).requires_grad_() for name, weight in stacked.items()
        }
        self._decoder = self._model.gpt_neox  # what it computes, with any run's weights
        self._buffers = dict(self._decoder.named_buffers())
        self._layers = {
            name: self.weights[f"gpt_neox.{name}"] for name, _ in self._decoder.named_parameters()
        }
        self._output = self.weights["lm_head.weight"]
        self._optimizers = self._make_optimizers()
        self._rate = torch.zeros((), device=device)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate
                group["capturable"] = device.type == "cuda"  # AdamW wants to be told of the graph
        self._graph: torch.cuda.CUDAGraph | None = None
        self._recorded = graph and device.type == "cuda"
        self._warm = 0
        self._fast_losses = self._losses
        if compiles(job.params.compile, device):
            self._fast_losses = torch.compile(self._losses, dynamic=False)

    def _make_optimizers(self) -> list[Optimizer]:
        of_muon = self._model.hidden_matrices() if self._params.optimizer == "muon" else []
        hidden = {id(matrix) for matrix in of_muon}
        matrices: list[Any] = []  # leaves, which optimizers take as they take parameters
        rest: list[Any] = []
        for name, weight in self._model.named_parameters():
            (matrices if id(weight) in hidden else rest).append(self.weights[name])
        optimizers = [adamw_of(rest, self._params, stacked=True)]
        if matrices:
            muon = Muon(matrices, self._params.learning_rate, self._params.weight_decay)
            optimizers.append(muon)
        return optimizers

    def step(self, windows: torch.Tensor, rate: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Make one step of every run.

        Parameters
        ----------
        windows : int64 (runs, b, W). The step of a smaller batch, at the end of an epoch, is not
            compiled and not recorded.
        rate : learning rate of all runs.

        Returns
        -------
        Losses before the step (nats per token) and gradient norms before clipping, (runs,) each.
        """
        self._rate.fill_(rate)
        if windows.shape[1] != self._params.batch_size:
            return self._step(windows, self._losses)
        if not self._recorded or self._warm < _WARM_UP:
            self._warm += 1
            return self._step(windows, self._fast_losses)
        if self._graph is None:
            self._windows = windows.clone()
            self._graph = torch.cuda.CUDAGraph()
            torch.cuda.synchronize()
            with torch.cuda.graph(self._graph):
                self._result = self._step(self._windows, self._fast_losses)
        self._windows.copy_(windows)
        self._graph.replay()
        losses, norms = self._result
        return losses.clone(), norms.clone()

    def _step(
        self, windows: torch.Tensor, losses_of: Callable[[torch.Tensor], torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        with autocast(self.device):
            losses = losses_of(windows)
        losses.sum().backward()
        norms = self._clip()
        for optimizer in self._optimizers:
            optimizer.step()
        for weight in self.weights.values():
            weight.grad = None
        return losses.detach(), norms

    def _losses(self, windows: torch.Tensor) -> torch.Tensor:
        """Mean NLL of every run's windows, (runs,), nats per token."""
        hidden = self._hidden(windows[:, :, :-1], shared=False)
        return _StackedCrossEntropy.apply(hidden, self._output, windows[:, :, 1:].flatten(1))  # type: ignore[no-untyped-call]

    def _hidden(self, tokens: torch.Tensor, *, shared: bool) -> torch.Tensor:
        """Last hidden states of int64 (runs, b, t), or (b, t) that all runs share: (runs, n, d)."""

        def of_run(weights: dict[str, torch.Tensor], tokens: torch.Tensor) -> torch.Tensor:
            hidden = functional_call(self._decoder, (weights, self._buffers), (tokens,))
            return hidden.flatten(0, 1)

        with _attention():
            return vmap(of_run, in_dims=(0, None if shared else 0))(self._layers, tokens)

    def _clip(self) -> torch.Tensor:
        """Clip the gradients of every run to the largest allowed norm; returns those before."""
        gradients = [weight.grad for weight in self.weights.values() if weight.grad is not None]
        squares = [gradient.square().flatten(1).sum(dim=1) for gradient in gradients]
        norms = torch.stack(squares).sum(dim=0).sqrt()
        # As torch.nn.utils.clip_grad_norm_ does it.
        factors = (self._params.gradient_clip / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))
        return norms

    def mean_nll(self, windows: torch.Tensor) -> np.ndarray:
        """Mean NLL of the same windows under every run: int64 (n, W) -> float64 (runs,), nats."""
        runs = len(next(iter(self.weights.values())))
        totals = torch.zeros(runs, dtype=torch.float64, device=self.device)
        with torch.no_grad():
            for part in windows.split(max(1, _VALIDATION_WINDOWS // runs)):
                logits = self._hidden(part[:, :-1], shared=True) @ self._output.mT
                targets = part[:, 1:].flatten().expand(runs, -1)
                nll = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
                totals += nll.view(runs, -1).sum(dim=1, dtype=torch.float64)
        return (totals / windows[:, 1:].numel()).cpu().numpy()

    def copy_weights_to(self, models: list[CausalLM]) -> None:
        """Give every run's model its weights."""
        stacked = {name: weight.detach().cpu() for name, weight in self.weights.items()}
        for number, model in enumerate(models):
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(stacked[name][number])


def _make_steps(jobs: list[TrainingJob], ensemble: Ensemble, curves: list[Curves]) -> None:
    """All steps of all runs, and the points of their curves."""
    job = jobs[0]
    size, steps = job.params.batch_size, job.steps
    log_at = points(steps, job.params.log_points)
    validate_at = points(steps, job.params.validation_points)
    done: list[tuple[torch.Tensor, torch.Tensor, int]] = []
    watch = Stopwatch()
    watch.start(0)
    _validate(job, ensemble, curves)
    for step in range(steps):
        epoch, index = divmod(step, job.windows.steps_per_epoch(size))
        if index == 0:
            tokens = _epoch_tokens(jobs, epoch, ensemble.device)
        batch = tokens[:, index * size : (index + 1) * size].long()
        rate = learning_rate(step, steps, job.params)
        done.append((*ensemble.step(batch, rate), batch.shape[1]))
        if step + 1 in log_at:
            _record(curves, done)
            done = []
            speed = watch.speed(curves[0].tokens)
            for curve in curves:
                curve.log(rate, speed)
        if step + 1 in validate_at:
            _validate(job, ensemble, curves)


def _epoch_tokens(jobs: list[TrainingJob], epoch: int, device: torch.device) -> torch.Tensor:
    """The windows of an epoch of every run, in its order: int32 (runs, windows, W)."""
    parts = (job.windows.gather(job.windows.epoch(epoch)).astype(np.int32) for job in jobs)
    return torch.stack([torch.from_numpy(part).to(device) for part in parts])


def _record(curves: list[Curves], done: list[tuple[torch.Tensor, torch.Tensor, int]]) -> None:
    """Give every run's curve the losses, gradient norms and batch sizes of the steps `done`."""
    losses = torch.stack([loss for loss, _, _ in done]).cpu()
    norms = torch.stack([norm for _, norm, _ in done]).cpu()
    for run, curve in enumerate(curves):
        for step, (_, _, windows) in enumerate(done):
            curve.add(StepResult(losses[step, run], norms[step, run], windows))


def _validate(job: TrainingJob, ensemble: Ensemble, curves: list[Curves]) -> None:
    """Measure the XE of the validation windows, component by component."""
    xe = {
        component: ensemble.mean_nll(torch.from_numpy(windows.astype(np.int64)).to(ensemble.device))
        for component, windows in job.validation.items()
    }
    for run, curve in enumerate(curves):
        curve.record({("validation_xe", name): float(value[run]) for name, value in xe.items()})
