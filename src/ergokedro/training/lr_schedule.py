"""The learning rate of every step, and the steps that are logged.

A schedule is one function in `SCHEDULES`; a plugin registers its own there.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ergokedro.parameters import TrainingParameters
from ergokedro.registry import Registry

# (step, steps, params) -> the learning rate's height at `step` in 0..steps - 1, after the warm-up:
# 1 is the peak, 0 is the final value that `min_learning_rate` gives.
Schedule = Callable[[int, int, TrainingParameters], float]
SCHEDULES: Registry[Schedule] = Registry("training.schedule")


def learning_rate(step: int, steps: int, params: TrainingParameters) -> float:
    """The learning rate of one step, 0..steps - 1.

    A linear warm-up to the peak, then what `SCHEDULES[params.schedule]` gives, scaled to lie
    between the peak and the fraction `min_learning_rate` of it.
    """
    warmup = warmup_steps(steps, params)
    if step < warmup:
        return params.learning_rate * (step + 1) / warmup
    height = SCHEDULES[params.schedule](step, steps, params)
    floor = params.min_learning_rate
    return params.learning_rate * (floor + (1 - floor) * height)


def warmup_steps(steps: int, params: TrainingParameters) -> int:
    """Number of steps with a rising learning rate."""
    return round(params.warmup_fraction * steps)


@SCHEDULES.add("cosine")
def cosine(step: int, steps: int, params: TrainingParameters) -> float:
    """A cosine that ends at the last step."""
    warmup = warmup_steps(steps, params)
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


@SCHEDULES.add("wsd")
def warmup_stable_decay(step: int, steps: int, params: TrainingParameters) -> float:
    """The peak, then a linear fall over the last `decay_fraction` of the steps.

    Warm-up, stable, decay: Hu et al. 2024, arXiv 2404.06395.
    """
    decay = steps - 1 - round(params.decay_fraction * steps)
    begin = max(warmup_steps(steps, params), decay)
    return 1 - max(0.0, (step - begin) / max(1, steps - 1 - begin))


@SCHEDULES.add("averaged")
def constant(step: int, steps: int, params: TrainingParameters) -> float:
    """The peak to the end: the average of the weights takes the place of a falling rate, see
    :mod:`ergokedro.training.averaging`."""
    return 1.0


def points(steps: int, n: int) -> set[int]:
    """`n` evenly spaced steps of 1..steps, the last one included; all where there are fewer."""
    return set(np.linspace(0, steps, min(n, steps) + 1).round().astype(int)[1:].tolist())
