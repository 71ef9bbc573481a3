"""What a sweep will cost, before it starts: tokens, time, memory and disk, by a short probe."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import psutil
import torch

from ergokedro.design.mixture import Manifest
from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import build_model, model_config, multiplied_weights
from ergokedro.models.weights import n_parameters
from ergokedro.parameters import Parameters, TrainingParameters
from ergokedro.training.device import Machine, choose_machine, cpu_threads, keep_freed_memory
from ergokedro.training.optimizers import OPTIMIZERS
from ergokedro.training.step import accumulate, update

_PROBE_SECONDS = 1.0
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Plan:
    """Estimates what it costs to train the runs of a sweep on this machine.

    Attributes
    ----------
    manifests : of the runs.
    model : of :func:`ergokedro.models.factory.model_config`.
    vocab_size : number of token ids that occur in windows.
    training : the protocol of all runs.
    machine : device, threads, and number of runs at the same time.
    done : name of a run -> optimizer steps that it has made already; runs without any may be
        left out.
    measured : the cost of training steps, or None to measure it when it is first needed.
    """

    manifests: list[Manifest]
    model: dict[str, Any]
    vocab_size: int
    training: TrainingParameters
    machine: Machine
    done: Mapping[str, int] = field(default_factory=dict)
    measured: Probe | None = None

    @property
    def tokens(self) -> int:
        """Tokens that all runs together train on, over all epochs."""
        return sum(self.seen(manifest) for manifest in self.manifests)

    @property
    def unfinished(self) -> list[Manifest]:
        """The runs that have steps left."""
        return [m for m in self.manifests if self.done.get(m.run, 0) < self.steps(m)]

    @property
    def tokens_left(self) -> int:
        """Tokens that all runs together have still to train on."""
        return sum(self.left(manifest) for manifest in self.manifests)

    def describe(self) -> str:
        """One line: how many runs are left, over how many tokens, and for how long."""
        finished = self._finished()
        if not self.unfinished:
            return f"Plan: nothing to train; {finished}"
        return (
            f"Plan: {_count(len(self.unfinished))} over {self._at_most}"
            f"{self.tokens_left / 1e6:,.1f} M tokens, about {self.time_left} of training here (a "
            f"short probe gave {self.probe.rate:,.0f} tokens/s per run)"
            + (f"; {finished}" if finished else "")
        )

    def table(self) -> str:
        """One line per run, then memory, disk and time that the unfinished runs need."""
        lines = [f"{'run':24s} {'K':>2s} {'tokens seen':>14s} {'steps':>9s}  state"]
        for manifest in self.manifests:
            seen, steps = self.seen(manifest), self.steps(manifest)
            line = f"{manifest.run:24s} {manifest.k:2d} {seen:14,d} {steps:9,d}"
            lines.append(f"{line}  {self._state(manifest)}".rstrip())
        if self.unfinished:
            return "\n".join([*lines, "", *self._needs()])
        return "\n".join([*lines, "", f"Time: nothing to train; {self._finished()}"])

    def _needs(self) -> list[str]:
        """Lines on the memory, disk and time that the unfinished runs need."""
        weights, left = self.probe.parameters, len(self.unfinished)
        # On disk: models, last checkpoints, and the optimizers' state of runs under way.
        disk = left * _FLOAT * weights * 2
        disk += self.machine.parallel_runs * 3 * _FLOAT * weights
        at_once = max(1, min(self.machine.parallel_runs, left))
        finished = self._finished()
        return [
            self.machine.describe(),
            f"Model: {weights:,} parameters",
            f"Memory: about {at_once * self.probe.memory / 1e9:.2f} GB for training",
            f"Disk: about {disk / 1e9:.2f} GB for models and checkpoints",
            f"Time: {self._at_most}about {self.time_left} of training for {_count(left)} and "
            f"{self.tokens_left:,} tokens at {self.probe.rate:,.0f} tokens/s per run, measured "
            "just now beside whatever else runs here; more for evaluation"
            + (f"; {finished}" if finished else ""),
        ]

    @property
    def _at_most(self) -> str:
        """'at most ' if some runs may end early, since they look for their number of epochs."""
        return "at most " if any(map(self._searches, self.unfinished)) else ""

    def _searches(self, manifest: Manifest) -> bool:
        return manifest.search or self.training.averages

    def _finished(self) -> str:
        n = len(self.manifests) - len(self.unfinished)
        return f"{_count(n)} {'is' if n == 1 else 'are'} finished" if n else ""

    def _state(self, manifest: Manifest) -> str:
        done = self.done.get(manifest.run, 0)
        if done >= self.steps(manifest):
            return "finished"
        notes = ["the most; ends when more epochs do not help"] * self._searches(manifest)
        if done:
            notes.append(f"resumes from step {done:,}")
        return "; ".join(notes)

    def seen(self, manifest: Manifest) -> int:
        """Tokens that a run trains on, over all epochs; the most, if it may end early."""
        return manifest.total_tokens * manifest.epochs(self.training.epochs)

    def steps(self, manifest: Manifest) -> int:
        """Optimizer steps of a run, over all epochs; the most, if it may end early."""
        epoch = -(-manifest.total_windows // self.training.batch_size)
        return epoch * manifest.epochs(self.training.epochs)

    def left(self, manifest: Manifest) -> int:
        """Tokens that a run has still to train on, rounded to about a batch."""
        steps = self.steps(manifest)
        done = min(self.done.get(manifest.run, 0), steps)
        return round(self.seen(manifest) * (1 - done / steps))

    @property
    def time_left(self) -> timedelta:
        """Estimated time for what is left, on this machine."""
        return self._time(self.tokens_left, len(self.unfinished))

    def time_of(self, runs: int) -> timedelta:
        """Estimated time for this number of runs of the plan's mean size, on this machine."""
        return self._time(self.tokens / len(self.manifests) * runs, runs)

    def _time(self, tokens: float, runs: int) -> timedelta:
        machine = self.machine
        at_once = max(1, min(machine.parallel_runs, machine.slots, runs))
        return timedelta(seconds=round(tokens / self.probe.rate / at_once))

    @cached_property
    def probe(self) -> Probe:
        """The cost of training steps: `measured`, or else measured here at the first access."""
        if self.measured is not None:
            return self.measured
        length = self.manifests[0].window_length
        return probe(self.model, self.vocab_size, self.training, self.machine, length)


def _count(n: int) -> str:
    return "1 run" if n == 1 else f"{n} runs"


def make_plan(
    manifests: list[Manifest],
    params: Parameters,
    vocab_size: int,
    done: Mapping[str, int] | None = None,
) -> Plan:
    """The plan of a sweep, on the machine that `params` and this computer give.

    Parameters
    ----------
    manifests : of all runs of the sweep.
    vocab_size : of the tokenizer.
    done : as :attr:`Plan.done`.
    """
    model, training = model_config(params.model, vocab_size), params.training
    tokens = training.batch_size * params.mixture.window_length
    machine = choose_machine(training, multiplied_weights(model), tokens, len(manifests))
    return Plan(manifests, model, vocab_size, training, machine, done or {})


@dataclass(frozen=True)
class Probe:
    """Measured cost of training one run.

    Attributes
    ----------
    rate : tokens per second.
    memory : peak memory, bytes.
    parameters : number of the model's weights.
    """

    rate: float
    memory: float
    parameters: int


def probe(
    config: dict[str, Any],
    vocab_size: int,
    training: TrainingParameters,
    machine: Machine,
    window_length: int,
) -> Probe:
    """Measure the cost of training steps on random windows, for about a second.

    Parameters
    ----------
    config : of :func:`ergokedro.models.factory.model_config`.

    Raises
    ------
    ErgokedroError
        If the model can never be trained in the memory of the device.
    """
    _check_room(config, machine.device)
    keep_freed_memory()
    before = _peak_memory(machine.device)
    with cpu_threads(machine.threads):
        model = build_model(config, 0).to(machine.device)
        optimizers = OPTIMIZERS[training.optimizer](model, training)
        shape = (training.batch_size, window_length)
        generator = torch.Generator().manual_seed(0)
        windows = torch.randint(vocab_size, shape, generator=generator).to(machine.device)
        start, steps = 0.0, -2  # the first two are warm-up
        while steps < 1 or time.perf_counter() - start < _PROBE_SECONDS:
            if steps == 0:
                start = time.perf_counter()
            accumulate(model.loss, windows, training.micro_batch or training.batch_size)
            update(model, optimizers, training.learning_rate, training.gradient_clip)
            if machine.device.type == "cuda":
                torch.cuda.synchronize()
            steps += 1
        rate = steps * windows.numel() / (time.perf_counter() - start)
    weights = n_parameters(model)
    # A process that was larger before tells nothing; four floats per weight are needed anyway.
    memory = max(_peak_memory(machine.device) - before, 4 * _FLOAT * weights)
    return Probe(rate, memory, weights)


def _check_room(config: dict[str, Any], device: torch.device) -> None:
    """Refuse a model that is certain to fail: the system would end the process without a word.

    Weights, their gradients and one state of an optimizer are the least that training holds.
    """
    weights = multiplied_weights(config)
    needed = 3 * _FLOAT * weights
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = psutil.virtual_memory().total
    if needed > memory:
        raise ErgokedroError(
            f"The model has {weights:,} weights, whose training needs {needed / 1e9:,.0f} GB, but "
            f"the device {device.type!r} has {memory / 1e9:,.0f} GB. Choose a smaller model.preset "
            "or model.parameters."
        )


def _peak_memory(device: torch.device) -> float:
    """Peak memory in bytes: of the device, or of the process on the CPU."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
