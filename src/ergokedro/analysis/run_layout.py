"""The spread of runs about their mean: draws of the training text, and seeds within draws.

A quantity x of the run with seed s of draw r is modelled as

    x_rs = mean + draw_r + seed_rs,

with independent random effects. Every draw has seeds of its own: they are nested in draws. So the
means of the draws are independent of each other, and their spread holds the chance of seeds as
well. The *units* of which the mean and its variance are taken are therefore the draws or, where all
runs are of one draw, the seeds:

    variance of the mean = variance between the units / number of units, with units - 1 degrees of
    freedom, whatever the two variances are.

The variance of a single seed is that within draws. Source: Searle, Casella and McCulloch 1992,
Variance components, chapter 3 (one-way classification).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np


class Component(NamedTuple):
    """A variance component of the runs.

    Attributes
    ----------
    name : 'draws' or 'seeds'.
    levels : how many were observed.
    variance : of the effect of one level.
    weight : of this variance in that of the mean over the runs.
    """

    name: str
    levels: int
    variance: float
    weight: float


class Spread(NamedTuple):
    """Estimated variances of several quantities.

    Attributes
    ----------
    of_mean : float64 (m, d), of the mean over the units; 0 with one unit.
    of_seed : float64 (m, d), of a single seed in its draw; 0 where no draw has two.
    """

    of_mean: np.ndarray
    of_seed: np.ndarray


@dataclass(frozen=True, eq=False)
class RunLayout:
    """Which runs there are.

    Attributes
    ----------
    draws : (runs,), any ids. Runs of the same draw have different seeds.
    """

    draws: np.ndarray

    @cached_property
    def _seeds(self) -> np.ndarray:
        """Number of runs of each draw: int64 (draws,)."""
        return np.unique(self.draws, return_counts=True)[1]

    @property
    def n_draws(self) -> int:
        """Number of draws."""
        return len(self._seeds)

    @property
    def n_seeds(self) -> int:
        """Seeds in every draw; the most, where draws differ."""
        return int(self._seeds.max())

    @cached_property
    def _averages(self) -> np.ndarray:
        """Weights of the runs in the mean of each unit: float64 (units, runs)."""
        if self.n_draws == 1:
            return np.eye(len(self.draws))
        members = np.unique(self.draws)[:, None] == self.draws
        return members / self._seeds[:, None]

    @property
    def n_units(self) -> int:
        """Draws or, in a single draw, seeds."""
        return len(self._averages)

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means of the units: float64 (m, units, d) of values (m, runs, d)."""
        return np.asarray(self._averages @ values)

    def spread(self, values: np.ndarray) -> Spread:
        """Of values (m, runs, d)."""
        means = self.means(values)
        between = means - means.mean(axis=1, keepdims=True)
        of_mean = (between**2).sum(axis=1) / (max(self.n_units - 1, 1) * self.n_units)
        members = self._averages > 0
        within = values - members.T @ means
        df = max(len(self.draws) - self.n_units, 1)
        return Spread(of_mean, (within**2).sum(axis=1) / df)

    def components(self, of_mean: float, of_seed: float) -> list[Component]:
        """Unbiased variances of the effects of draws and seeds; that of draws may be negative.

        Parameters
        ----------
        of_mean, of_seed : as in :class:`Spread`, of one quantity.
        """
        n = self.n_units
        if n == 1:
            return []
        if self.n_draws == 1:
            return [Component("seeds", n, of_mean * n, 1 / n)]
        if self.n_seeds == 1:
            return [Component("draws", n, of_mean * n, 1 / n)]
        per_draw = float((1 / self._seeds).mean())
        return [
            Component("draws", n, of_mean * n - of_seed * per_draw, 1 / n),
            Component("seeds", len(self.draws), of_seed, per_draw / n),
        ]
