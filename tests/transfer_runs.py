"""Runs whose law is known, for the tests of analysis.transfer."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ergokedro.analysis.transfer.fitting import LawFit
from ergokedro.analysis.transfer.runs import MixtureRuns

COMPONENTS = ("a", "b", "c", "d")
# The law that the runs follow: E, A (of 1e5 tokens), alpha, and tau[c, j], what j is worth to c.
E = np.array([2.2, 2.5, 2.0, 2.4])
A = np.array([1.3, 1.0, 1.6, 1.2])
ALPHA = np.array([0.35, 0.3, 0.45, 0.5])
TAU = np.array([[1, 0.5, 0, 0.2], [0.3, 1, 0.1, 0], [0, 0.2, 1, 0.6], [0.4, 0, 0.25, 1]])
REFERENCE = 1e5
BUDGETS = (1.5e5, 6e5, 2.4e6)


def all_sets(m: int) -> list[tuple[int, ...]]:
    """The subsets of m components, none left out."""
    return [chosen for k in range(1, m + 1) for chosen in combinations(range(m), k)]


def equal_shares(sets: list[tuple[int, ...]], budgets: tuple[float, ...], m: int) -> np.ndarray:
    """Tokens (R, m) of runs on all sets at all budgets, in equal parts."""
    tokens = [
        np.isin(range(m), chosen) * total / len(chosen) for total in budgets for chosen in sets
    ]
    return np.array(tokens)


def law_xe(
    tokens: np.ndarray,
    tau: np.ndarray = TAU,
    alpha: np.ndarray | float = ALPHA,
) -> np.ndarray:
    """XE (R, m) by the law of this module; NaN where a run has no tokens of the component."""
    m = tokens.shape[1]
    alphas = np.broadcast_to(alpha, len(COMPONENTS))[:m]
    effective = np.where(tokens > 0, tokens @ tau[:m, :m].T, np.nan)
    return np.asarray(E[:m] + A[:m] * (effective / REFERENCE) ** -alphas)


def known_runs(
    noise: float = 0.0,
    seed: int = 0,
    m: int = 3,
    budgets: tuple[float, ...] = BUDGETS,
    sets: list[tuple[int, ...]] | None = None,
    tau: np.ndarray = TAU,
    alpha: np.ndarray | float = ALPHA,
) -> MixtureRuns:
    """Runs on all subsets (or `sets`) of the first m components, with normal noise (nats)."""
    tokens = equal_shares(sets or all_sets(m), budgets, m)
    errors = np.random.default_rng(seed).normal(size=tokens.shape)
    return MixtureRuns(COMPONENTS[:m], tokens, law_xe(tokens, tau, alpha) + noise * errors)


def exchange_matrix(fit: LawFit) -> np.ndarray:
    """τ of a law: float64 (m, m), row c of component c, 1 on the diagonal.

    NaN where the runs do not determine it, and in the rows of components that were not observed.
    """
    m = len(fit.components)
    matrix = np.full((m, m), np.nan)
    np.fill_diagonal(matrix, 1.0)
    columns = {int(column) for part in fit.parts for column in part.problem.sample.columns}
    for c, j in ((c, j) for c in columns for j in range(m) if c != j):
        estimate = fit.estimate("tau", fit.components[c], fit.components[j])
        matrix[c, j] = estimate.interval.value
    return matrix
