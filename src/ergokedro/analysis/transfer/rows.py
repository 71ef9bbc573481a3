"""Results: own-text equivalents, exchange rates, the law of XE and its errors on unseen mixtures.

All are of test text. They need more than the chain: specialists of several sizes for equivalents,
sets of components or specialists for the law. Where the runs are too few, there are no rows; where
they do not determine a parameter, its row says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow
from ergokedro.analysis.transfer.exchange import DirectExchange, direct_exchange
from ergokedro.analysis.transfer.fitting import Estimate, LawFit, fit_law
from ergokedro.analysis.transfer.held_out import held_out_predictions, prediction_errors
from ergokedro.analysis.transfer.measured import (
    Measured,
    averaged_runs,
    measured_runs,
    own_sizes,
    specialist_curves,
)
from ergokedro.analysis.transfer.own_text import OwnTextEquivalent, own_text_equivalents
from ergokedro.analysis.transfer.runs import MixtureRuns
from ergokedro.design.runs import Run

LAW = "transfer"
_SPLIT = "test"
_QUANTITIES = {"E": "law_E", "A": "law_A", "alpha": "law_alpha", "tau": "tau"}
_OWN_PARAMETERS = 3  # E, A and alpha of a component


def transfer(experiment: Experiment) -> Iterator[ResultRow]:
    """What a component's own text and others' text are worth.

    Yields
    ------
    Rows of series 'component':

    - own_text_tokens, own_text_share: the own-text equivalent of every run on two components or
      more, in tokens and as a part of the run's total; `note` is '>' or '<' where the value is
      only a bound, and '?' where nothing can be said;
    - exchange_direct: own tokens that a token of `source` was worth, from the run on the two alone;
      `note` likewise;
    - law_E and law_A, nats per token, law_alpha and tau of the transfer law, run 'law'; `tokens` of
      law_A is the size at which it counts; `note` says why a parameter is not determined.

    Rows of series 'held_out_set', 'held_out_k' and 'held_out_budget', whose `run` is the law:

    - held_out_error: mean of |predicted - measured| XE on runs that the fit has not seen, nats per
      token, and held_out_relative_error, its share of XE. Sets and K that are held out are those of
      mixtures: without any specialist of a component, a law can only guess what one would do.
    """
    if _SPLIT not in experiment.splits:
        return
    measured = measured_runs(experiment, _SPLIT)
    yield from _equivalents(experiment, measured)
    if any(can_be_fitted(measured.table, c) for c in range(_width(measured))):
        repeats = _repeats(measured)
        yield from _law_rows(experiment, measured, repeats)
        yield from _held_out_rows(measured.table, repeats)


def can_be_fitted(table: MixtureRuns, column: int) -> bool:
    """Whether a component was measured in as many mixtures as its law has parameters.

    They are E, A, alpha, and one τ for every other component that it was trained with.
    """
    mixtures = np.unique(table.tokens[table.observed[:, column]], axis=0)
    parameters = _OWN_PARAMETERS + np.count_nonzero((mixtures > 0).any(axis=0)) - 1
    return bool(len(mixtures) >= parameters)


def _width(measured: Measured) -> int:
    return len(measured.table.components)


def _repeats(measured: Measured) -> dict[str, Any]:
    """Columns that all rows of the law share."""
    draws = {run.draw for run in measured.runs}
    seeds = {run.seed_offset for run in measured.runs}
    return {"k": 0, "split": _SPLIT, "draws": len(draws), "seeds": len(seeds)}


def _equivalents(experiment: Experiment, measured: Measured) -> Iterator[ResultRow]:
    if not any(len(own_sizes(measured.table, c)) > 1 for c in range(_width(measured))):
        return
    averaged = averaged_runs(experiment, _SPLIT, measured)
    for curve in specialist_curves(averaged):
        equivalents = own_text_equivalents(averaged.table, curve, experiment.params.confidence)
        mixed = [one for one in equivalents if averaged.runs[one.run].k > 1]
        for one in mixed:
            yield from _equivalent_rows(experiment, measured, averaged.runs[one.run], one)
        for rate in direct_exchange(averaged.table, mixed):
            yield _direct_row(experiment, measured, averaged.runs[rate.run], rate)


def _equivalent_rows(
    experiment: Experiment, measured: Measured, run: Run, one: OwnTextEquivalent
) -> Iterator[ResultRow]:
    selection = experiment.selection(_SPLIT, run, "component", one.component)
    tags = {**_tags(experiment, measured, run), "note": one.bound}
    yield selection.row("own_text_tokens", one.tokens, unit="tokens", **tags)
    yield selection.row("own_text_share", one.share, unit="share", **tags)


def _direct_row(
    experiment: Experiment, measured: Measured, run: Run, rate: DirectExchange
) -> ResultRow:
    selection = experiment.selection(_SPLIT, run, "component", rate.component)
    tags = {**_tags(experiment, measured, run), "source": rate.source, "note": rate.bound}
    return selection.row("exchange_direct", rate.tau, unit="1", **tags)


def _tags(experiment: Experiment, measured: Measured, run: Run) -> dict[str, Any]:
    """What a row says of a run that is averaged over its draws and seeds."""
    same = [other for other in measured.runs if other.base == run.base]
    draws, seeds = {other.draw for other in same}, {other.seed_offset for other in same}
    return {**experiment.tags(run), "draws": len(draws), "seeds": len(seeds)}


def _law_rows(
    experiment: Experiment, measured: Measured, repeats: dict[str, Any]
) -> Iterator[ResultRow]:
    fit = fit_law(measured.table, LAW, experiment.params.confidence)
    order = [(kind, name) for name in measured.table.components for kind in _QUANTITIES]
    estimates = sorted(
        fit.estimates,
        key=lambda e: order.index((e.parameter.quantity, e.parameter.component)),
    )
    for estimate in estimates:
        yield _law_row(fit, estimate, repeats)


def _law_row(fit: LawFit, estimate: Estimate, repeats: dict[str, Any]) -> ResultRow:
    parameter = estimate.parameter
    reference = fit.references[fit.components.index(parameter.component)]
    return ResultRow(
        run="law",
        quantity=_QUANTITIES[parameter.quantity],
        series="component",
        component=parameter.component,
        source=parameter.source,
        tokens=round(reference) if parameter.quantity == "A" else 0,
        unit=parameter.unit,
        note=estimate.reason,
        **estimate.interval._asdict(),
        **repeats,
    )


def _held_out_rows(table: MixtureRuns, repeats: dict[str, Any]) -> Iterator[ResultRow]:
    predictions = held_out_predictions(table)
    predictions = predictions[(predictions.k > 1) | (predictions.held_out == "budget")]
    if predictions.empty:
        return
    for row in prediction_errors(predictions).itertuples():
        shared: dict[str, Any] = {
            **repeats,
            "run": row.law,
            "series": f"held_out_{row.held_out}",
            "note": _count_predictions(row),
        }
        ends = {"low": row.low, "high": row.high} if pd.notna(row.low) else {}
        yield ResultRow(quantity="held_out_error", value=row.error, **ends, **shared)
        relative = row.relative_error
        yield ResultRow(quantity="held_out_relative_error", value=relative, unit="share", **shared)


def _count_predictions(row: Any) -> str:
    """What is behind an error: how many predictions, of how many sets, and how many were none."""
    known = f"{row.predictions} predictions of {row.sets} sets"
    missing = f"; {row.undetermined} not determined by the other runs"
    return known + (missing if row.undetermined else "")
