"""What happens at which step: the learning rate, and when to log. Pure functions of the step."""

from __future__ import annotations

import math

import numpy as np

from ergokedro.parameters import TrainingParameters


def learning_rate(step: int, steps: int, params: TrainingParameters) -> float:
    """The learning rate of one step, 0..steps - 1.

    A linear warm-up to the peak, then either a cosine to `min_learning_rate` of the peak at the
    last step ('cosine'), or the peak until the last `decay_fraction` of the steps, which fall to it
    linearly ('wsd', warm-up, stable, decay: Hu et al. 2024, arXiv 2404.06395).
    """
    warmup = round(params.warmup_fraction * steps)
    if step < warmup:
        return params.learning_rate * (step + 1) / warmup
    if params.schedule == "wsd":
        begin = max(warmup, steps - 1 - round(params.decay_fraction * steps))
        left = 1 - max(0.0, (step - begin) / max(1, steps - 1 - begin))
    else:
        progress = (step - warmup) / max(1, steps - 1 - warmup)
        left = 0.5 * (1 + math.cos(math.pi * progress))
    floor = params.min_learning_rate
    return params.learning_rate * (floor + (1 - floor) * left)


def points(steps: int, n: int) -> set[int]:
    """`n` evenly spread steps of 1..steps, the last among them."""
    return set(np.linspace(0, steps, min(n, steps) + 1).round().astype(int)[1:].tolist())
