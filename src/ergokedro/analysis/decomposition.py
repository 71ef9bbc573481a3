"""Where the cost of K comes from: an exact decomposition by means of specialists.

A specialist is a model trained on one component alone. Let S_c(n) be the cross entropy of the
specialist of component c with n training tokens, by default the best of its size (see
:mod:`ergokedro.analysis.best_specialists`), and B_K that of the Bayes mixture of the K specialists
with D / K tokens each, on the same windows. For a component c of the first K

    XE_K - S_c(D) = [S_c(D/K) - S_c(D)]  starvation: less text of its own
                  + [B_K - S_c(D/K)]     identification: not knowing which component it reads
                  + [XE_K - B_K]         interference minus transfer: one model for all

holds window by window and position by position. With w_c the weight of the right component after
the first token, identification is at most -log w_c nats a window, whatever the text; on average
over the components that is at most log K. It is what the name says only where a specialist is as
good as the source itself: on other text a mixture also averages the errors of its specialists, and
may be better than the right one alone. There the report calls it mixing
redundancy. The mixture begins with what a window's first token says about the component, as the
model does: its weights are p(first token | component), from the training text (see
:mod:`ergokedro.analysis.training_text`), with a uniform prior.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from ergokedro.analysis.bayes_mixture import component_posterior, mixture_nll
from ergokedro.analysis.best_specialists import CONFOUNDED, Specialists, best_specialists
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow, Selection, selections
from ergokedro.design.mixture import Design
from ergokedro.design.runs import Run, run_name

TERMS = ("starvation", "identification", "interference")


@dataclass(frozen=True)
class Trained:
    """The runs of one draw that the decomposition of one K compares.

    Attributes
    ----------
    mixture : the model of K.
    full, shared : the specialists at D and at D / K of the first K components.
    """

    draw: int
    mixture: Run
    full: list[Run]
    shared: list[Run]


def trained_by_draw(experiment: Experiment, run: Run, best: Specialists) -> list[Trained]:
    """The runs of every draw in which the model of K and all its specialists were trained."""
    repeats = [r for r in experiment.runs if r.base == run.base and not r.seed_offset]
    trained = []
    for repeat in sorted(repeats, key=lambda r: r.draw):
        full, shared = (_first_k(best, run.k, divisor, repeat.draw) for divisor in (1, run.k))
        if len(full) == len(shared) == run.k:
            trained.append(Trained(repeat.draw, repeat, full, shared))
    return trained


def _first_k(best: Specialists, k: int, divisor: int, draw: int) -> list[Run]:
    """The specialists at D / divisor of the first `k` components, as far as they were trained."""
    specialists = (best.get((position, divisor)) for position in range(1, k + 1))
    return [one.runs[draw] for one in specialists if one and draw in one.runs]


@dataclass(frozen=True)
class Terms:
    """The decomposition of one K on one split: float64 (n, W - 1) each, nats.

    Attributes
    ----------
    rows : int64 (n,), the windows of the first K components among the split's.
    cost : XE_K less the right specialist at D; the sum of the three terms.
    starvation, identification, interference : see the module.
    bound : float64 (n,), the most that a window's identification can sum up to.
    posterior : float64 (K, n, W), the mixture's weights of the components before each token but
        the first, and after the last.
    truth : int64 (n,), index of each window's component, from 0.
    """

    rows: np.ndarray
    cost: np.ndarray
    starvation: np.ndarray
    identification: np.ndarray
    interference: np.ndarray
    bound: np.ndarray
    posterior: np.ndarray
    truth: np.ndarray


def decompose(
    mixture: np.ndarray,
    full: np.ndarray,
    shared: np.ndarray,
    truth: np.ndarray,
    first_token: np.ndarray | None = None,
) -> Terms:
    """Decompose the cost of K on one split.

    Parameters
    ----------
    mixture : (n, W - 1), NLL of the model of K on the split's windows.
    full, shared : (K, n, W - 1), NLL of the specialists at D and at D / K.
    truth : int (n,), index of each window's component among the K, -1 for other components.
    first_token : (K, n), NLL of every window's first token under each component. Without it the
        mixture begins with equal weights, as if that token were the same in all.
    """
    rows = np.flatnonzero(truth >= 0)
    right = truth[rows]
    specialists = shared[:, rows].astype(np.float64)
    evidence = np.zeros(specialists.shape[:2]) if first_token is None else -first_token[:, rows]
    prior = softmax(evidence, axis=0)
    bayes = mixture_nll(specialists, prior)
    window = np.arange(len(rows))
    at_d = full[:, rows][right, window].astype(np.float64)
    at_share = specialists[right, window]
    model = mixture[rows].astype(np.float64)
    return Terms(
        rows=rows,
        cost=model - at_d,
        starvation=at_share - at_d,
        identification=bayes - at_share,
        interference=model - bayes,
        bound=-np.log(prior[right, window]),
        posterior=component_posterior(specialists, prior),
        truth=right,
    )


def decomposition(experiment: Experiment) -> Iterator[ResultRow]:
    """The decomposition of every K of the chain that has its specialists, over all draws.

    Yields
    ------
    Rows of series 'chain' and 'component'. Quantities, nats per token unless said otherwise:

    - cost, starvation, identification, interference; the `note` of starvation says what else it
      holds where specialists are not the best of their size;
    - others_worth, the specialist at D / K less the model of K: what the others' text is worth;
    - identification_bound, the most that identification can be on any text;
    - cumulative_identification, its sum up to a position, nats (series chain);
    - cumulative_excess, of the model of K over the right specialist at D / K, summed up likewise:
      what exceeds the bound, summed over a window, is not identification;
    - naming_accuracy, share of windows whose component has the largest posterior weight before a
      position (series chain, unit 'share');
    - exact_identification, of the exact sources, where they are known: their mixture less the
      right one.
    """
    best = best_specialists(experiment)
    for run in (run for run in experiment.chain if run.k > 1):
        trained = trained_by_draw(experiment, run, best)
        for split in experiment.splits if trained else ():
            yield from _rows(experiment, run, split, trained)


def _rows(
    experiment: Experiment, run: Run, split: str, trained: list[Trained]
) -> Iterator[ResultRow]:
    """The rows of one K on one split."""
    windows = experiment.windows_of(split)
    draws = [one.draw for one in trained]
    terms = [_decompose_draw(experiment, split, run.k, one) for one in trained]
    exact = _exact_identification(experiment, split, run.k, terms[0])
    values = {name: np.stack(list(per_draw)) for name, per_draw in _values(terms, exact)}
    chosen = windows.iloc[terms[0].rows].reset_index(drop=True)
    tags = experiment.tags(run)
    notes = {"starvation": CONFOUNDED[experiment.settings["specialist_form"]]}
    for selection in selections(chosen, split, experiment.design, experiment.labels(run)):
        if selection.series not in ("chain", "component") or not len(selection.rows):
            continue
        estimates = selection.estimates(np.stack(list(values.values())), experiment.params, draws)
        for quantity, estimate in zip(values, estimates, strict=True):
            yield selection.row(quantity, estimate, note=notes.get(quantity, ""), **tags)
        if selection.series == "chain":
            yield from _curve_rows(experiment, tags, selection, terms, draws)


def _decompose_draw(experiment: Experiment, split: str, k: int, trained: Trained) -> Terms:
    arrays = experiment.arrays(split)
    at_d, at_share = (
        np.stack([arrays[run] for run in runs]) for runs in (trained.full, trained.shared)
    )
    truth = _truth(experiment.windows_of(split), experiment.design, k)
    first = None if experiment.text is None else experiment.text.first_token[split][:k]
    return decompose(arrays[trained.mixture], at_d, at_share, truth, first)


def _truth(windows: pd.DataFrame, design: Design, k: int) -> np.ndarray:
    """Index of each window's component among the first `k`, or -1: int64 (n,)."""
    index = {name: i for i, name in enumerate(design.components[:k])}
    return windows.component.map(index).fillna(-1).to_numpy(dtype=np.int64)


def _exact_identification(
    experiment: Experiment, split: str, k: int, terms: Terms
) -> np.ndarray | None:
    """As `Terms.identification`, of the exact sources, or None where they are not known."""
    exact = experiment.exact.nll
    if not exact:
        return None
    names = experiment.design.components[:k]
    own = np.stack([exact[f"{split}/{name}"][terms.rows] for name in names])
    mixture = exact[f"{split}/{run_name(k)}"][terms.rows].astype(np.float64)
    return mixture - own[terms.truth, np.arange(len(terms.rows))]


def _values(
    terms: Sequence[Terms], exact: np.ndarray | None
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """(quantity, float64 (n,) of every draw): means over a window's tokens, nats."""
    for name in ("cost", *TERMS):
        yield name, (getattr(one, name).mean(axis=1) for one in terms)
    yield "identification_bound", (one.bound / one.cost.shape[1] for one in terms)
    yield "others_worth", (-(one.identification + one.interference).mean(axis=1) for one in terms)
    if exact is not None:
        yield "exact_identification", (exact.mean(axis=1) for _ in terms)


def _curve_rows(
    experiment: Experiment,
    tags: Mapping[str, Any],
    selection: Selection,
    terms: Sequence[Terms],
    draws: list[int],
) -> Iterator[ResultRow]:
    """Quantities by position 2..W."""
    for quantity, array in _curves(terms):
        unit = "share" if quantity == "naming_accuracy" else "nats"
        by_position = np.moveaxis(array, 2, 0)  # (W - 1, draws, n)
        estimates = selection.estimates(by_position, experiment.params, draws)
        for position, estimate in enumerate(estimates, start=2):
            yield selection.row(quantity, estimate, position=position, unit=unit, **tags)


def _curves(terms: Sequence[Terms]) -> Iterator[tuple[str, np.ndarray]]:
    """(quantity, float64 (draws, n, W - 1))."""
    identification = np.stack([one.identification for one in terms])
    yield "cumulative_identification", np.cumsum(identification, axis=2)
    excess = identification + np.stack([one.interference for one in terms])
    yield "cumulative_excess", np.cumsum(excess, axis=2)
    named = [one.posterior[:, :, :-1].argmax(axis=0) == one.truth[:, None] for one in terms]
    yield "naming_accuracy", np.stack(named).astype(np.float64)
