"""What a sweep will cost, before it starts: runs, tokens and time, from a short probe."""

from __future__ import annotations

import time
from datetime import timedelta

import torch

from ergokedro.gpt_neox import GPTNeoXConfig
from ergokedro.machine import Machine, cpu_threads, keep_freed_memory
from ergokedro.mixture import Manifest
from ergokedro.model import build_model
from ergokedro.parameters import TrainingParameters
from ergokedro.training import accumulate, make_optimizer

_PROBE_SECONDS = 1.0


def tokens_to_train(manifests: list[Manifest], training: TrainingParameters) -> int:
    """Tokens that all runs together see."""
    return sum(m.total_tokens * m.repeats * training.epochs for m in manifests)


def describe_plan(
    manifests: list[Manifest],
    config: GPTNeoXConfig,
    training: TrainingParameters,
    machine: Machine,
) -> str:
    """One line: how many runs, how much, how long on this machine."""
    tokens = tokens_to_train(manifests, training)
    rate = probe_speed(config, training, machine, manifests[0].window_length)
    left = timedelta(seconds=round(tokens / rate / min(machine.parallel_runs, len(manifests))))
    runs = "1 run" if len(manifests) == 1 else f"{len(manifests)} runs"
    return (
        f"Plan: {runs} over {tokens / 1e6:,.1f} M tokens, about {left} of training here (a short "
        f"probe gave {rate:,.0f} tokens/s a run); finished runs are not repeated"
    )


def probe_speed(
    config: GPTNeoXConfig, training: TrainingParameters, machine: Machine, window_length: int
) -> float:
    """Tokens a second of real training steps on random windows, over about a second."""
    keep_freed_memory()
    with cpu_threads(machine.threads):
        model = build_model(config, 0).to(machine.device)
        optimizer = make_optimizer(model, training)
        shape = (training.batch_size, window_length)
        generator = torch.Generator().manual_seed(0)
        windows = torch.randint(config.vocab_size, shape, generator=generator).to(machine.device)
        start, steps = 0.0, -2  # the first two are warm-up
        while steps < 1 or time.perf_counter() - start < _PROBE_SECONDS:
            if steps == 0:
                start = time.perf_counter()
            accumulate(model.loss, windows, training.micro_batch or training.batch_size)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if machine.device.type == "cuda":
                torch.cuda.synchronize()
            steps += 1
        return steps * windows.numel() / (time.perf_counter() - start)
