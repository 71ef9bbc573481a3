"""What a sweep will cost, before it starts: runs, tokens and time, from a short probe."""

from __future__ import annotations

import time
from datetime import timedelta

from ergokedro.mixture import Manifest
from ergokedro.parameters import ModelParameters, TrainingParameters

_PROBE_SECONDS = 1.0


def tokens_to_train(manifests: list[Manifest], training: TrainingParameters) -> int:
    """Tokens that all runs together see."""
    return sum(m.total_tokens * m.repeats * training.epochs for m in manifests)


def describe_plan(
    manifests: list[Manifest],
    model: ModelParameters,
    training: TrainingParameters,
    vocab_size: int,
) -> str:
    """One line: how many runs, how much, how long on this machine.

    Parameters
    ----------
    vocab_size : of the tokenizer.
    """
    tokens = tokens_to_train(manifests, training)
    length = manifests[0].window_length
    rate = probe_speed(model, training, vocab_size, length)
    left = timedelta(seconds=round(tokens / rate))
    runs = "1 run" if len(manifests) == 1 else f"{len(manifests)} runs"
    return (
        f"Plan: {runs} over {tokens / 1e6:,.1f} M tokens, about {left} of training here (a short "
        f"probe gave {rate:,.0f} tokens/s); finished runs are not repeated"
    )


def probe_speed(
    model: ModelParameters, training: TrainingParameters, vocab_size: int, window_length: int
) -> float:
    """Tokens a second of real training steps on random windows, over about a second."""
    import torch

    from ergokedro.machine import choose_device, cpu_threads, keep_freed_memory
    from ergokedro.model import build_model, model_config
    from ergokedro.training import accumulate, make_optimizer

    keep_freed_memory()
    device = choose_device(training.device)
    with cpu_threads(training.threads):
        network = build_model(model_config(model, vocab_size), 0).to(device)
        optimizer = make_optimizer(network, training)
        shape = (training.batch_size, window_length)
        windows = torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(0))
        windows = windows.to(device)
        start, steps = 0.0, -2  # the first two are warm-up
        while steps < 1 or time.perf_counter() - start < _PROBE_SECONDS:
            if steps == 0:
                start = time.perf_counter()
            accumulate(network.loss, windows, training.micro_batch or training.batch_size)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if device.type == "cuda":
                torch.cuda.synchronize()
            steps += 1
        return steps * windows.numel() / (time.perf_counter() - start)
