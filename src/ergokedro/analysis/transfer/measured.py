"""The runs of an experiment as laws and own-text equivalents take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ergokedro.analysis.best_specialists import best_specialists, is_specialist, protocol_of
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.transfer.own_text import SpecialistCurve
from ergokedro.analysis.transfer.runs import MixtureRuns
from ergokedro.design.mixture import share_budget
from ergokedro.design.runs import Run


@dataclass(frozen=True)
class Measured:
    """Runs, and their tokens and XE on one split.

    Attributes
    ----------
    runs : the run of every row; where draws and seeds are averaged, the first one.
    table : tokens and XE; NaN on components that a run was not trained on.
    """

    runs: list[Run]
    table: MixtureRuns


def measured_runs(experiment: Experiment, split: str) -> Measured:
    """Every run on the components themselves: the chain, sets, specialists, growing totals.

    Each draw and each seed is a row. A replicate draws documents within their component, the same
    for all runs. Specialists are those of the best number of epochs and rate.
    Runs on pseudo-components and runs of a control that changes epochs or rate are left out.
    """
    best = best_specialists(experiment)
    runs = []
    for run in experiment.runs:
        like = Run("", (), 1)  # the chain's protocol
        if is_specialist(run) and (found := best.get((run.components[0], run.divisor))):
            like = next(iter(found.runs.values()))
        if not run.pseudo and protocol_of(run) == protocol_of(like):
            runs.append(run)
    tokens = np.array([_tokens(experiment, run) for run in runs])
    values = _window_means(experiment, split, runs)
    names = tuple(experiment.design.components)
    chosen = [experiment.selection(split, runs[0], "component", name) for name in names]
    means = [selection.replicates(values, experiment.params) for selection in chosen]
    xe = np.where(tokens > 0, np.stack(means, axis=2), np.nan)
    documents = np.array([len(np.unique(selection.documents)) for selection in chosen])
    return Measured(runs, MixtureRuns(names, tokens, xe[0], None, xe[1:], documents))


def averaged_runs(experiment: Experiment, split: str, measured: Measured) -> Measured:
    """The mean of every run over its draws and seeds, with bootstrap replicates of it.

    A replicate draws documents within their component, and draws of the training text where there
    are several (n - 1 of n each, as in :mod:`ergokedro.analysis.bootstrap`); all runs share it.
    Seeds are averaged and not resampled.
    """
    bases = list(dict.fromkeys(run.base for run in measured.runs))
    base = np.array([bases.index(run.base) for run in measured.runs])
    draw = np.array([run.draw for run in measured.runs])
    first = np.array([np.flatnonzero(base == i)[0] for i in range(len(bases))])
    weights = _draw_weights(int(draw.max()) + 1, experiment)
    values = _window_means(experiment, split, measured.runs)
    xe = np.full((len(weights), len(bases), len(experiment.design.components)), np.nan)
    for column, name in enumerate(experiment.design.components):
        selection = experiment.selection(split, measured.runs[0], "component", name)
        means = selection.replicates(values, experiment.params)
        xe[:, :, column] = average_draws(means, base, draw, weights)
    tokens = measured.table.tokens[first]
    xe[:, tokens == 0] = np.nan
    table = MixtureRuns(measured.table.components, tokens, xe[0], replicates=xe[1:])
    return Measured([measured.runs[i] for i in first], table)


def average_draws(
    values: np.ndarray, group: np.ndarray, draw: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Weighted means over draws of the means over seeds.

    Parameters
    ----------
    values : float64 (B, R), of R runs.
    group, draw : int (R,), which runs repeat each other, and their draws, each from 0.
    weights : float64 (B, draws). Where all draws of a group have the weight 0, they count alike.

    Returns
    -------
    float64 (B, groups).
    """
    shape = (len(values), int(group.max()) + 1, weights.shape[1])
    sums, counts = np.zeros(shape), np.zeros(shape[1:])
    np.add.at(counts, (group, draw), 1)
    for run, (i, j) in enumerate(zip(group, draw, strict=True)):
        sums[:, i, j] += values[:, run] / counts[i, j]
    present = np.broadcast_to(counts > 0, shape)
    chosen = weights[:, None] * present
    chosen = np.where(chosen.any(axis=2, keepdims=True), chosen, present)
    return np.asarray((sums * chosen).sum(axis=2) / chosen.sum(axis=2))


def specialist_curves(measured: Measured) -> list[SpecialistCurve]:
    """S*_c by tokens, of every component that has specialists of two sizes or more.

    Parameters
    ----------
    measured : of :func:`averaged_runs`.
    """
    table = measured.table
    assert table.replicates is not None
    curves = []
    for column, name in enumerate(table.components):
        rows = own_sizes(table, column)
        if len(rows) > 1:
            sizes, xe = table.tokens[rows, column], table.xe[rows, column]
            curves.append(SpecialistCurve(name, sizes, xe, table.replicates[:, rows, column]))
    return curves


def own_sizes(table: MixtureRuns, column: int) -> np.ndarray:
    """Rows of one specialist of a component for every size, ascending: int64 (P,)."""
    alone = np.flatnonzero(table.observed[:, column] & (table.sizes == 1))
    return np.asarray(alone[np.unique(table.tokens[alone, column], return_index=True)[1]])


def _tokens(experiment: Experiment, run: Run) -> list[int]:
    """Training tokens of every component of the design, per epoch."""
    design = experiment.design
    windows = share_budget(design, run)
    return [windows.get(name, 0) * design.window_length for name in design.components]


def _window_means(experiment: Experiment, split: str, runs: list[Run]) -> np.ndarray:
    """Mean NLL of every window under every run: float64 (windows of the split, R), nats."""
    means = [experiment.nll[run].nll[split].mean(axis=1, dtype=np.float64) for run in runs]
    return np.stack(means, axis=1)


def _draw_weights(draws: int, experiment: Experiment) -> np.ndarray:
    """How often each draw counts in a replicate: float64 (B + 1, draws); row 0 is the estimate."""
    params = experiment.params
    if draws == 1:
        return np.ones((params.bootstrap + 1, 1))
    rng = np.random.default_rng([params.seed, draws])
    counts = rng.multinomial(draws - 1, np.full(draws, 1 / draws), size=params.bootstrap)
    return np.vstack([np.ones(draws), counts])
