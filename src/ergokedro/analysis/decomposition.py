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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.bayes_mixture import component_posterior, mixture_nll
from ergokedro.analysis.bootstrap import Interval, intervals
from ergokedro.analysis.nll import NLLArrays
from ergokedro.analysis.series import RESULT_COLUMNS, Selection, selections
from ergokedro.design.mixture import Design
from ergokedro.design.runs import Run, find_run
from ergokedro.parameters import AnalysisParameters

TERMS = ("starvation", "identification", "interference")


def specialist(place: int, divisor: int, repeats: int = 1) -> Run:
    """The run on one component alone with D / `divisor` tokens."""
    return Run("", (place,), divisor, repeats=repeats)


def find_specialist(runs: list[Run], place: int, divisor: int) -> Run | None:
    """Steps matched or epochs matched, whichever the settings had made."""
    for repeats in (1, divisor):
        if found := find_run(runs, specialist(place, divisor, repeats)):
            return found
    return None


def specialists_of(runs: list[Run], k: int) -> tuple[list[Run], list[Run]] | None:
    """The specialists at D and at D / k of the first `k` components, or None if one is missing."""
    places = range(1, k + 1)
    full = [find_specialist(runs, place, 1) for place in places]
    shared = [find_specialist(runs, place, k) for place in places]
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
    truth : int64 (n,), place of each window's component, from 0.
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
    truth : int (n,), place of each window's component among the K, -1 for other components.
    """
    rows = np.flatnonzero(truth >= 0)
    right = truth[rows]
    here = shared[:, rows].astype(np.float64)
    prior = np.full(len(shared), 1 / len(shared))
    bayes = mixture_nll(here, prior)
    each = np.arange(len(rows))
    at_d = full[:, rows][right, each].astype(np.float64)
    at_share = here[right, each]
    model = mixture[rows].astype(np.float64)
    return Terms(
        rows=rows,
        cost=model - at_d,
        starvation=at_share - at_d,
        identification=bayes - at_share,
        interference=model - bayes,
        posterior=component_posterior(here, prior),
        truth=right,
    )


def decomposition_table(
    nll: Mapping[Run, NLLArrays],
    windows: pd.DataFrame,
    design: Design,
    exact: NLLArrays,
    params: AnalysisParameters,
) -> pd.DataFrame:
    """The decomposition of every K that has its specialists, as rows of the tidy results.

    Parameters
    ----------
    nll : arrays of all runs that were made, chain and controls.
    windows : the evaluation windows, in the order of the arrays.
    exact : of :func:`ergokedro.analysis.exact_optimum.exact_nll`.

    Returns
    -------
    Rows of series 'chain' and 'component'. Quantities, nats a token unless said otherwise:

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
    runs = list(nll)
    rows: list[dict[str, Any]] = []
    for run in (run for run in runs if run.in_chain and run.k > 1):
        if (found := specialists_of(runs, run.k)) is None:
            continue
        full, shared = found
        for split, model in nll[run].nll.items():
            here = windows[windows.split == split].reset_index(drop=True)
            truth = _truth(here, design, run.k)
            terms = decompose(
                model,
                np.stack([nll[each].nll[split] for each in full]),
                np.stack([nll[each].nll[split] for each in shared]),
                truth,
            )
            common = {"run": run.name, "k": run.k, "seed": nll[run].meta["seed"], "split": split}
            best = _exact_identification(exact, design, split, run.k, terms)
            rows += [{**common, **row} for row in _rows(terms, here, design, run.k, best, params)]
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def _truth(windows: pd.DataFrame, design: Design, k: int) -> np.ndarray:
    """Place of each window's component among the first `k`, or -1: int64 (n,)."""
    places = {name: place for place, name in enumerate(design.components[:k])}
    return windows.component.map(places).fillna(-1).to_numpy(dtype=np.int64)


def _exact_identification(
    exact: NLLArrays, design: Design, split: str, k: int, terms: Terms
) -> np.ndarray | None:
    """As `Terms.identification`, of the exact sources, or None where they are not known.

    With evidence from the second token on, too, so that it compares with the specialists'.
    """
    if not exact.nll:
        return None
    own = np.stack([exact.nll[f"{split}/{name}"][terms.rows] for name in design.components[:k]])
    mixture = mixture_nll(own, np.full(k, 1 / k))
    return mixture - own[terms.truth, np.arange(len(terms.rows))]


def _rows(
    terms: Terms,
    windows: pd.DataFrame,
    design: Design,
    k: int,
    exact: np.ndarray | None,
    params: AnalysisParameters,
) -> Iterator[dict[str, Any]]:
    here = windows.iloc[terms.rows].reset_index(drop=True)
    trained = design.components[:k]
    values = {"cost": terms.cost, **{name: getattr(terms, name) for name in TERMS}}
    values["others_worth"] = -(terms.identification + terms.interference)
    if exact is not None:
        values["exact_identification"] = exact
    bound = np.log(k) / terms.cost.shape[1]
    for selection in selections(here, design, trained):
        if selection.series not in ("chain", "component") or not len(selection.rows):
            continue
        tags = {**selection.tags(), "position": 0, "unit": "nats"}
        for quantity, array in values.items():
            yield {**tags, "quantity": quantity, **selection.mean(array, params)._asdict()}
        constant = Interval(bound, bound, bound, 0.0)
        yield {**tags, "quantity": "identification_bound", **constant._asdict()}
        if selection.series == "chain":
            for quantity, unit, curve in _curves(terms, selection, params):
                for position, interval in enumerate(curve, start=2):
                    place = {"quantity": quantity, "position": position, "unit": unit}
                    yield {**tags, **place, **interval._asdict()}


def _curves(
    terms: Terms, selection: Selection, params: AnalysisParameters
) -> Iterator[tuple[str, str, list[Interval]]]:
    """Quantities by position 2..W."""
    cumulative = np.cumsum(terms.identification, axis=1)
    means = selection.replicates(cumulative, params)
    yield "cumulative_identification", "nats", intervals(means, params.confidence)
    excess = np.cumsum(terms.identification + terms.interference, axis=1)
    means = selection.replicates(excess, params)
    yield "cumulative_excess", "nats", intervals(means, params.confidence)
    named = (terms.posterior[:, :, :-1].argmax(axis=0) == terms.truth[:, None]).astype(np.float64)
    means = selection.replicates(named, params)
    yield "naming_accuracy", "share", intervals(means, params.confidence)
