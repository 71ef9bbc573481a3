"""What a sweep will cost, before it starts: tokens, time, memory and disk, by a short probe."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import torch

from ergokedro.design.mixture import Manifest
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
    """Runs that shall be trained, and with what.

    Attributes
    ----------
    model : of :func:`ergokedro.models.factory.model_config`.
    vocab_size : number of token ids that occur in windows.
    """

    manifests: list[Manifest]
    model: dict[str, Any]
    vocab_size: int
    training: TrainingParameters
    machine: Machine

    @property
    def tokens(self) -> int:
        """Number of tokens that all runs together see."""
        return sum(self.seen(manifest) for manifest in self.manifests)

    def describe(self) -> str:
        """One line: how many runs, how much, how long on this machine."""
        runs = "1 run" if len(self.manifests) == 1 else f"{len(self.manifests)} runs"
        return (
            f"Plan: {runs} over {self.tokens / 1e6:,.1f} M tokens, about {self._left} of training "
            f"here (a short probe gave {self._probe.rate:,.0f} tokens/s per run); finished runs "
            "are not repeated"
        )

    def table(self) -> str:
        """One line per run, and what all of them need."""
        lines = [f"{'run':24s} {'K':>2s} {'tokens seen':>14s} {'steps':>9s}"]
        for manifest in self.manifests:
            seen = self.seen(manifest)
            epoch = -(-manifest.total_windows // self.training.batch_size)
            steps = epoch * manifest.epochs(self.training.epochs)
            lines.append(f"{manifest.run:24s} {manifest.k:2d} {seen:14,d} {steps:9,d}")
        weights = self._probe.parameters
        # On disk: models, last checkpoints, and the optimizers' state of runs under way.
        disk = len(self.manifests) * _FLOAT * weights * 2
        disk += self.machine.parallel_runs * 3 * _FLOAT * weights
        at_once = max(1, min(self.machine.parallel_runs, len(self.manifests)))
        lines += [
            "",
            self.machine.describe(),
            f"Model: {weights:,} parameters",
            f"Memory: about {at_once * self._probe.memory / 1e9:.2f} GB for training",
            f"Disk: about {disk / 1e9:.2f} GB for models and checkpoints",
            f"Time: about {self._left} of training for {self.tokens:,} tokens at "
            f"{self._probe.rate:,.0f} tokens/s per run, measured just now beside whatever else "
            "runs here; less for what is finished already, more for evaluation",
        ]
        return "\n".join(lines)

    def seen(self, manifest: Manifest) -> int:
        """Number of tokens that a manifest's run trains on, over all epochs."""
        return manifest.total_tokens * manifest.epochs(self.training.epochs)

    @property
    def _left(self) -> timedelta:
        machine = self.machine
        at_once = max(1, min(machine.parallel_runs, machine.slots, len(self.manifests)))
        return timedelta(seconds=round(self.tokens / self._probe.rate / at_once))

    @cached_property
    def _probe(self) -> Probe:
        length = self.manifests[0].window_length
        return probe(self.model, self.vocab_size, self.training, self.machine, length)


def make_plan(manifests: list[Manifest], params: Parameters, vocab_size: int) -> Plan:
    """The plan of training on `manifests`.

    Parameters
    ----------
    vocab_size : of the tokenizer.
    """
    model, training = model_config(params.model, vocab_size), params.training
    tokens = training.batch_size * params.mixture.window_length
    machine = choose_machine(training, multiplied_weights(model), tokens, len(manifests))
    return Plan(manifests, model, vocab_size, training, machine)


@dataclass(frozen=True)
class Probe:
    """What some training steps took.

    Attributes
    ----------
    rate : tokens per second.
    memory : bytes.
    parameters : of the model.
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
    """Make real training steps on random windows for about a second."""
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


def _peak_memory(device: torch.device) -> float:
    """Peak memory in bytes: of the device, or of the process on the CPU."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
