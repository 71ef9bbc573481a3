"""What a sweep will cost, before it starts: tokens, time, memory and disk, from a short probe."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

import torch

from ergokedro.design.mixture import Manifest
from ergokedro.models.factory import build_model, model_config
from ergokedro.models.gpt_neox import GPTNeoXConfig
from ergokedro.parameters import Parameters, TrainingParameters
from ergokedro.training.device import Machine, choose_machine, cpu_threads, keep_freed_memory
from ergokedro.training.optimizers import make_optimizers, update
from ergokedro.training.trainer import accumulate

_PROBE_SECONDS = 1.0
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Plan:
    """Runs that are to be trained, and with what."""

    manifests: list[Manifest]
    config: GPTNeoXConfig
    training: TrainingParameters
    machine: Machine

    @property
    def tokens(self) -> int:
        """Tokens that all runs together see."""
        return sum(self.seen(manifest) for manifest in self.manifests)

    def describe(self) -> str:
        """One line: how many runs, how much, how long on this machine."""
        runs = "1 run" if len(self.manifests) == 1 else f"{len(self.manifests)} runs"
        return (
            f"Plan: {runs} over {self.tokens / 1e6:,.1f} M tokens, about {self._left} of training "
            f"here (a short probe gave {self._probe.rate:,.0f} tokens/s a run); finished runs are "
            "not repeated"
        )

    def table(self) -> str:
        """The runs, a line each, and what all of them take."""
        lines = [f"{'run':24s} {'K':>2s} {'tokens seen':>14s} {'steps':>9s}"]
        for manifest in self.manifests:
            seen = self.seen(manifest)
            epoch = -(-manifest.total_windows // self.training.batch_size)
            steps = epoch * self.training.epochs * manifest.repeats
            lines.append(f"{manifest.run:24s} {manifest.k:2d} {seen:14,d} {steps:9,d}")
        weights = self._probe.parameters
        # Kept: the model, and checkpoints with the optimizers' state while a run goes on.
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
            f"{self._probe.rate:,.0f} tokens/s a run, measured just now beside whatever else "
            "runs here, less what is finished already; evaluation comes on top",
        ]
        return "\n".join(lines)

    def seen(self, manifest: Manifest) -> int:
        """Tokens that its run trains on, over all epochs."""
        return manifest.total_tokens * manifest.repeats * self.training.epochs

    @property
    def _left(self) -> timedelta:
        machine = self.machine
        at_once = max(1, min(machine.parallel_runs, machine.slots, len(self.manifests)))
        return timedelta(seconds=round(self.tokens / self._probe.rate / at_once))

    @cached_property
    def _probe(self) -> Probe:
        length = self.manifests[0].window_length
        return probe(self.config, self.training, self.machine, length)


def make_plan(manifests: list[Manifest], params: Parameters, vocab_size: int) -> Plan:
    """The plan of training on `manifests`.

    Parameters
    ----------
    vocab_size : of the tokenizer.
    """
    config = model_config(params.model, vocab_size)
    tokens = params.training.batch_size * params.mixture.window_length
    weights = config.multiplied_weights
    machine = choose_machine(params.training, weights, tokens, len(manifests))
    return Plan(manifests, config, params.training, machine)


@dataclass(frozen=True)
class Probe:
    """What some training steps took: tokens a second, bytes of memory, weights."""

    rate: float
    memory: float
    parameters: int


def probe(
    config: GPTNeoXConfig, training: TrainingParameters, machine: Machine, window_length: int
) -> Probe:
    """Make real training steps on random windows for about a second."""
    keep_freed_memory()
    before = _peak_memory(machine.device)
    with cpu_threads(machine.threads):
        model = build_model(config, 0).to(machine.device)
        optimizers = make_optimizers(model, training)
        shape = (training.batch_size, window_length)
        generator = torch.Generator().manual_seed(0)
        windows = torch.randint(config.vocab_size, shape, generator=generator).to(machine.device)
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
    weights = sum(parameter.numel() for parameter in model.parameters())
    # A process that was larger before tells nothing; four floats a weight are needed in any case.
    memory = max(_peak_memory(machine.device) - before, 4 * _FLOAT * weights)
    return Probe(rate, memory, weights)


def _peak_memory(device: torch.device) -> float:
    """Bytes: of the device, or of the process on the CPU."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
