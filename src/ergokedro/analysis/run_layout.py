"""Runs that cross draws of the training text with seeds: sums of squares, mean squares, variance.

A run is a pair (draw r, seed s). A quantity x of the runs is modelled as

    x_rs = mean + draw_r + seed_s + residual_rs,

with independent random effects of variances A, B and E; the residual holds the interaction. The
estimate is the mean over the runs, with weights u = 1/n for n runs, and has the variance

    A sum_r u_r.^2 + B sum_s u_.s^2 + E sum_rs u_rs^2.

A, B and E are estimated by Henderson's method III: each factor's sum of squares after the other
factor is set equal to its expectation. On complete data these are the estimates of the two-way
analysis of variance. Source: Searle, Casella and McCulloch 1992, Variance components, chapters 4
and 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import fdtrc

# Sets of factors as bits; also indices of the residual sums of squares of their models.
NONE, DRAWS, SEEDS, BOTH = 0, 1, 2, 3
FACTORS = {DRAWS: "draws", SEEDS: "seeds"}

# A factor is dropped from the model when the p-value of its F test is larger, so that its degrees
# of freedom join the residual's. Bancroft 1964, Analysis and inference for incompletely specified
# models, recommends 0.25 for such preliminary tests: a usual level would drop real effects.
_DROP_ABOVE = 0.25


class Term(NamedTuple):
    """One mean square of a model.

    Attributes
    ----------
    factor : DRAWS or SEEDS; NONE for the residual.
    df : its degrees of freedom.
    weight : of the mean square in the variance of the mean over the runs.
    levels : the factor's variance in the expected mean square has this coefficient, the number of
        runs with the same level where the data are complete; 1 for the residual.
    """

    factor: int
    df: int
    weight: float
    levels: float


class Part(NamedTuple):
    """A part of the variance of an estimate, and the degrees of freedom of its estimate."""

    variance: float
    df: float


class Component(NamedTuple):
    """A variance component of the runs.

    Attributes
    ----------
    name : 'draws', 'seeds', 'draws:seeds' (their interaction, or seeds within draws), or 'runs'
        where all runs have the same draw and seed.
    levels : how many were observed.
    variance : of the effect of one level.
    weight : of this variance in that of the mean over the runs.
    """

    name: str
    levels: int
    variance: float
    weight: float


@dataclass(frozen=True)
class RunLayout:
    """Which runs there are, as far as the variance of their mean depends on it.

    Attributes
    ----------
    n_draws, n_seeds, n_runs : numbers of different draws and seeds, and of runs.
    models : terms of each set of factors whose effects can be estimated together.
    """

    n_draws: int
    n_seeds: int
    n_runs: int
    models: dict[int, tuple[Term, ...]]

    @property
    def largest(self) -> int:
        """The largest set of factors that can be estimated; of equals, the draws."""
        return next(factors for factors in (BOTH, DRAWS, SEEDS, NONE) if factors in self.models)

    def choose(self, rss: np.ndarray) -> int:
        """The set of factors that backward elimination keeps.

        Parameters
        ----------
        rss : float64 (4,), residual sums of squares, by set of factors.
        """
        factors = self.largest
        while factors:
            p_values = {t.factor: self._p_value(t, factors, rss) for t in self.models[factors][:-1]}
            weakest = max(p_values, key=lambda factor: p_values[factor])
            if p_values[weakest] <= _DROP_ABOVE:
                break
            factors &= ~weakest
        return factors

    def parts(self, factors: int, rss: np.ndarray) -> list[Part]:
        """Weighted mean squares, whose sum estimates the variance of the mean over the runs.

        The residual's part may be negative: its weight is what the factors' mean squares hold too
        much of it. Where it has no degrees of freedom it is left out, which overstates the sum.

        Parameters
        ----------
        factors : a set of factors of :attr:`models`.
        rss : float64 (4,), residual sums of squares, by set of factors.
        """
        return [
            Part(term.weight * _sum_of_squares(term, factors, rss) / term.df, term.df)
            for term in self.models[factors]
            if term.df
        ]

    def components(self, rss: np.ndarray) -> list[Component]:
        """Unbiased variances of the effects of every factor, and of the residual.

        The largest set of factors is taken, whether significant or not. Estimates may be negative.

        Parameters
        ----------
        rss : float64 (4,), residual sums of squares, by set of factors; or a difference of such.
        """
        factors = self.largest
        *terms, residual = self.models[factors]
        noise = float(rss[factors]) / residual.df if residual.df else 0.0
        components = [self._component(term, factors, rss, noise) for term in terms]
        if residual.df:
            name = "draws:seeds" if factors else "runs"
            components.append(Component(name, self.n_runs, noise, 1 / self.n_runs))
        return components

    def _component(self, term: Term, factors: int, rss: np.ndarray, noise: float) -> Component:
        """Of one factor, given the mean square of the residual."""
        return Component(
            name=FACTORS[term.factor],
            levels=self.n_draws if term.factor == DRAWS else self.n_seeds,
            variance=(_sum_of_squares(term, factors, rss) / term.df - noise) / term.levels,
            weight=term.weight * term.levels,
        )

    def _p_value(self, term: Term, factors: int, rss: np.ndarray) -> float:
        """Of the F test of one factor; 0 where there is no residual to test against."""
        df = self.models[factors][-1].df
        if not df or rss[factors] <= 0:
            return 0.0
        ratio = _sum_of_squares(term, factors, rss) / term.df / (rss[factors] / df)
        return float(fdtrc(term.df, df, max(ratio, 0.0)))


def _sum_of_squares(term: Term, factors: int, rss: np.ndarray) -> float:
    """Of a factor, after the others in the model; or of the residual."""
    if not term.factor:
        return float(rss[factors])
    return float(rss[factors & ~term.factor] - rss[factors])


def balanced_layout(n_draws: int, n_seeds: int) -> RunLayout:
    """The layout of one run for every pair of a draw and a seed."""
    n = n_draws * n_seeds
    ranks = {NONE: 0, DRAWS: n_draws - 1, SEEDS: n_seeds - 1, BOTH: n_draws + n_seeds - 2}
    levels = {DRAWS: n_seeds, SEEDS: n_draws}
    models = {}
    for factors in range(4):
        terms = [Term(f, ranks[f], 1 / n, levels[f]) for f in FACTORS if factors & f]
        rest = Term(NONE, n - 1 - ranks[factors], 1 / n - len(terms) / n, 1)
        if all(term.df for term in terms):
            models[factors] = (*terms, rest)
    return RunLayout(n_draws, n_seeds, n, models)


def run_layout(draws: np.ndarray, seeds: np.ndarray) -> tuple[RunLayout, list[np.ndarray]]:
    """The layout of any runs, and the bases of :func:`residual_sums`.

    Parameters
    ----------
    draws, seeds : (n,), any ids; pairs may be missing, or occur more than once.
    """
    indicators = {f: _indicators(ids) for f, ids in ((DRAWS, draws), (SEEDS, seeds))}
    bases = [
        _basis(np.hstack([np.zeros((len(draws), 1)), *(indicators[f] for f in FACTORS if s & f)]))
        for s in range(4)
    ]
    models = {}
    for factors in range(4):
        terms = [_term(f, factors, indicators[f], bases) for f in FACTORS if factors & f]
        if all(term.df for term in terms):
            weight = 1 / len(draws) - sum(term.weight for term in terms)
            rest = Term(NONE, len(draws) - 1 - bases[factors].shape[1], weight, 1)
            models[factors] = (*terms, rest)
    n_draws, n_seeds = (indicators[f].shape[1] for f in FACTORS)
    return RunLayout(n_draws, n_seeds, len(draws), models), bases


def _indicators(ids: np.ndarray) -> np.ndarray:
    """float64 (n, levels)."""
    return (ids[:, None] == np.unique(ids)).astype(np.float64)


def _basis(columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of the span of the centred columns: float64 (n, rank)."""
    u, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    return u[:, sizes > 1e-9]


def _term(factor: int, factors: int, indicators: np.ndarray, bases: list[np.ndarray]) -> Term:
    """The mean square of one factor after the others of the model."""
    larger, smaller = bases[factors], bases[factors & ~factor]
    df = larger.shape[1] - smaller.shape[1]
    if not df:
        return Term(factor, 0, 0.0, 0.0)
    trace = ((larger.T @ indicators) ** 2).sum() - ((smaller.T @ indicators) ** 2).sum()
    shares = indicators.mean(axis=0)
    levels = float(trace) / df
    return Term(factor, df, float(shares @ shares) / levels, levels)


def residual_sums(values: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """Residual sums of squares over the runs after fitting the mean and each set of factors.

    Parameters
    ----------
    values : float64 (m, runs, d).
    bases : of :func:`run_layout`.

    Returns
    -------
    float64 (4, m, d).
    """
    centred = values - values.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=1)
    sums = [total - ((basis.T @ centred) ** 2).sum(axis=1) for basis in bases]
    return np.maximum(np.stack(sums), 0.0)
