"""Where the cost of K comes from: an exact decomposition by means of specialists.

A specialist is a model trained on one component alone. Let S_c(n) be the cross entropy of the
specialist of component c with n training tokens, and B_K that of the Bayes mixture of the K
specialists with D / K tokens each, on the same windows. For a component c of the first K

    XE_K - S_c(D) = [S_c(D/K) - S_c(D)]  starvation: less text of its own
                  + [B_K - S_c(D/K)]     identification: not knowing which component it reads
                  + [XE_K - B_K]         interference minus transfer: one model for all

holds window by window and position by position. Identification is at most log K nats a window, so
log K / (W - 1) a token on average, whatever the text. The mixture's prior is uniform, and its
evidence starts at the second token: the NLL of a window's first token is not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ergokedro.analysis.bayes_mixture import component_posterior, mixture_nll
from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow, Selection, selections
from ergokedro.design.mixture import Design
from ergokedro.design.runs import Run, find_run, specialist

TERMS = ("starvation", "identification", "interference")


def find_specialist(runs: list[Run], position: int, divisor: int) -> Run | None:
    """The specialist with matched epochs or with matched steps, whichever was made."""
    for repeats in (1, divisor):
        if run := find_run(runs, specialist(position, divisor, repeats)):
            return run
    return None


def specialists_of(runs: list[Run], k: int) -> tuple[list[Run], list[Run]] | None:
    """The specialists at D and at D / k of the first `k` components, or None if one is missing."""
    positions = range(1, k + 1)
    full = [find_specialist(runs, position, 1) for position in positions]
    shared = [find_specialist(runs, position, k) for position in positions]
    if None in full or None in shared:
        return None
    return [run for run in full if run], [run for run in shared if run]


@dataclass(frozen=True)
class Terms:
    """The decomposition of one K on one split: float64 (n, W - 1) each, nats.

    Attributes
    ----------
    rows : int64 (n,), the windows of the first K components among the split's.
    cost : XE_K less the right specialist at D; the sum of the three terms.
    starvation, identification, interference : see the module.
    posterior : float64 (K, n, W), the mixture's weights of the components before each token but
        the first, and after the last.
    truth : int64 (n,), index of each window's component, from 0.
    """

    rows: np.ndarray
    cost: np.ndarray
    starvation: np.ndarray
    identification: np.ndarray
    interference: np.ndarray
    posterior: np.ndarray
    truth: np.ndarray


def decompose(
    mixture: np.ndarray, full: np.ndarray, shared: np.ndarray, truth: np.ndarray
) -> Terms:
    """Decompose the cost of K on one split.

    Parameters
    ----------
    mixture : (n, W - 1), NLL of the model of K on the split's windows.
    full, shared : (K, n, W - 1), NLL of the specialists at D and at D / K.
    truth : int (n,), index of each window's component among the K, -1 for other components.
    """
    rows = np.flatnonzero(truth >= 0)
    right = truth[rows]
    specialists = shared[:, rows].astype(np.float64)
    prior = np.full(len(shared), 1 / len(shared))
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
        posterior=component_posterior(specialists, prior),
        truth=right,
    )


def decomposition(experiment: Experiment) -> Iterator[ResultRow]:
    """The decomposition of every K of the chain that has its specialists.

    Yields
    ------
    Rows of series 'chain' and 'component'. Quantities, nats per token unless said otherwise:

    - cost, starvation, identification, interference;
    - others_worth, the specialist at D / K less the model of K: what the others' text is worth;
    - identification_bound, log K / (W - 1), the most that identification can be on any text;
    - cumulative_identification, its sum up to a position, nats (series chain; at most log K);
    - cumulative_excess, of the model of K over the right specialist at D / K, summed up likewise:
      what exceeds log K is not identification;
    - naming_accuracy, share of windows whose component has the largest posterior weight before a
      position (series chain, unit 'share');
    - exact_identification, of the exact sources, where they are known: their mixture less the
      right one.
    """
    for run in (run for run in experiment.chain if run.k > 1):
        specialists = specialists_of(experiment.runs, run.k)
        if specialists is not None:
            for split in experiment.splits:
                yield from _rows(experiment, run, split, *specialists)


def _rows(
    experiment: Experiment, run: Run, split: str, full: list[Run], shared: list[Run]
) -> Iterator[ResultRow]:
    """The rows of one K on one split, from the specialists at D and at D / K."""
    arrays = experiment.arrays(split)
    windows = experiment.windows_of(split)
    at_d, at_share = (np.stack([arrays[r] for r in runs]) for runs in (full, shared))
    terms = decompose(arrays[run], at_d, at_share, _truth(windows, experiment.design, run.k))
    values = _values(terms, _exact_identification(experiment, split, run.k, terms))
    trained = experiment.labels(run)
    chosen = windows.iloc[terms.rows].reset_index(drop=True)
    for selection in selections(chosen, split, experiment.design, trained):
        if selection.series not in ("chain", "component") or not len(selection.rows):
            continue
        for quantity, array in values.items():
            interval = selection.mean(array, experiment.params)
            yield selection.row(quantity, interval, **experiment.tags(run))
        bound = np.log(run.k) / terms.cost.shape[1]
        constant = Interval(bound, bound, bound, 0.0)
        yield selection.row("identification_bound", constant, **experiment.tags(run))
        if selection.series == "chain":
            yield from _curve_rows(experiment, run, selection, terms)


def _truth(windows: pd.DataFrame, design: Design, k: int) -> np.ndarray:
    """Index of each window's component among the first `k`, or -1: int64 (n,)."""
    index = {name: i for i, name in enumerate(design.components[:k])}
    return windows.component.map(index).fillna(-1).to_numpy(dtype=np.int64)


def _exact_identification(
    experiment: Experiment, split: str, k: int, terms: Terms
) -> np.ndarray | None:
    """As `Terms.identification`, of the exact sources, or None where they are not known.

    Its evidence also begins with the second token, so that it compares with the specialists'.
    """
    exact = experiment.exact.nll
    if not exact:
        return None
    names = experiment.design.components[:k]
    own = np.stack([exact[f"{split}/{name}"][terms.rows] for name in names])
    mixture = mixture_nll(own, np.full(k, 1 / k))
    return mixture - own[terms.truth, np.arange(len(terms.rows))]


def _values(terms: Terms, exact: np.ndarray | None) -> dict[str, np.ndarray]:
    """Quantity -> float64 (n, W - 1)."""
    values = {"cost": terms.cost, **{name: getattr(terms, name) for name in TERMS}}
    values["others_worth"] = -(terms.identification + terms.interference)
    return values if exact is None else {**values, "exact_identification": exact}


def _curve_rows(
    experiment: Experiment, run: Run, selection: Selection, terms: Terms
) -> Iterator[ResultRow]:
    """Quantities by position 2..W."""
    named = terms.posterior[:, :, :-1].argmax(axis=0) == terms.truth[:, None]
    curves = {
        "cumulative_identification": np.cumsum(terms.identification, axis=1),
        "cumulative_excess": np.cumsum(terms.identification + terms.interference, axis=1),
        "naming_accuracy": named.astype(np.float64),
    }
    tags = experiment.tags(run)
    for quantity, array in curves.items():
        unit = "share" if quantity == "naming_accuracy" else "nats"
        estimates = selection.by_position(array, experiment.params)
        for position, estimate in enumerate(estimates, start=2):
            yield selection.row(quantity, estimate, position=position, unit=unit, **tags)
