"""Simulated values of runs and documents whose variance components are known."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np

from ergokedro.analysis.power import Variances
from ergokedro.analysis.random_effects import Observations, SampleSize

# Axes of (draw, seed, document) along which the effects of each of Variances differ, in its order.
# Every draw has seeds of its own.
AXES = [(0,), (0, 1), (2,), (0, 2), (0, 1, 2)]
# Tokens of one document resemble each other by so much; a longer document has a steadier mean.
CORRELATION = 0.3


def simulate(
    rng: np.random.Generator,
    variances: Variances,
    size: SampleSize,
    trials: int,
    counts: np.ndarray | None = None,
) -> tuple[Observations, np.ndarray]:
    """Observations of `trials` quantities with mean zero, and what an interval should cover.

    Parameters
    ----------
    counts : tokens of each document, components one after the other; default: all have one.

    Returns
    -------
    The observations; float64 (trials,), zero or, with one draw or one run, its effect.
    """
    documents = size.documents * size.components
    shape = (size.draws, size.seeds, documents)
    spread = np.ones(documents)
    if counts is not None:
        spread = np.sqrt(CORRELATION + (1 - CORRELATION) / counts)
    values = np.zeros((trials, *shape))
    truth = np.zeros(trials)
    for variance, axes in zip(astuple(variances), AXES, strict=True):
        levels = [shape[axis] if axis in axes else 1 for axis in range(3)]
        effects = np.sqrt(variance) * rng.normal(size=(trials, *levels))
        values += effects * (spread if 2 in axes else 1.0)
        if effects[0].size == 1:
            truth += effects[:, 0, 0, 0]
    tokens = np.ones(documents) if counts is None else counts.astype(np.float64)
    sums = (values * tokens).reshape(trials, size.draws * size.seeds, documents)
    strata = np.repeat(np.arange(size.components), size.documents)
    draws = np.repeat(np.arange(size.draws), size.seeds)
    return Observations(sums, tokens, strata, draws), truth
