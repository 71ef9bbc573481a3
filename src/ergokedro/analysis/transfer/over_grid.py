"""The law of XE over a grid of totals D: fitted to the runs of all of them, and its errors.

An experiment of one D says how XE depends on K; several say how it depends on D, too. The law is
fitted again without each D, and tells what it predicts of that D.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ergokedro.analysis.transfer.fitting import LawFit, fit_law
from ergokedro.analysis.transfer.grid_documents import RUN, document_replicates
from ergokedro.analysis.transfer.held_out import held_out_predictions, prediction_errors
from ergokedro.analysis.transfer.runs import MixtureRuns

LAW = "transfer"
_LAWS = (LAW, "own_tokens", "exponential_budget", "constant")


@dataclass(frozen=True)
class GridLaw:
    """The law of one model size.

    Attributes
    ----------
    preset : name of the size.
    fit : to all D.
    errors : of :func:`prediction_errors`, one row per law, on D that the fit has not seen.
    documents : whether the intervals of the fit hold the held-out documents.
    """

    preset: str
    fit: LawFit
    errors: pd.DataFrame
    documents: bool


def laws_over_grid(
    table: pd.DataFrame, documents: pd.DataFrame | None = None, split: str = "test"
) -> list[GridLaw]:
    """The law of every model size that was run at three D or more.

    Parameters
    ----------
    table : rows of the grid, with the columns preset, experiment and total_tokens.
    documents : as of :func:`runs_of_grid`.
    """
    laws = []
    for preset, rows in table.groupby("preset", sort=False):
        if rows.total_tokens.nunique() > 2:
            runs = runs_of_grid(rows, documents, split)
            errors = prediction_errors(held_out_predictions(runs, _LAWS, ["budget"]))
            laws.append(GridLaw(str(preset), fit_law(runs, LAW), errors, documents is not None))
    return laws


def rows_of_runs(table: pd.DataFrame, split: str = "test") -> pd.DataFrame:
    """XE of the chains and sets of all experiments on the components that each was trained on."""
    return table[
        (table.split == split)
        & (table.quantity == "xe")
        & table.series.isin(["component", "set"])
        & table.trained.astype(bool)
    ]


def runs_of_grid(
    table: pd.DataFrame, documents: pd.DataFrame | None = None, split: str = "test"
) -> MixtureRuns:
    """The runs of :func:`rows_of_runs`, as laws take them.

    Parameters
    ----------
    documents : means of documents under all of these runs, of
        :func:`~ergokedro.analysis.transfer.grid_documents.document_means`. Without them intervals
        leave documents out: a law does not know what moves all runs alike.
    """
    rows = rows_of_runs(table, split)
    components = tuple(rows.component.unique())
    tokens = rows.pivot(index=RUN, columns="component", values="tokens")[list(components)]
    xe = rows.pivot(index=RUN, columns="component", values="value")[list(components)]
    replicates = (None, None) if documents is None else document_replicates(documents, xe)
    return MixtureRuns(
        components,
        tokens.fillna(0).to_numpy(),
        xe.to_numpy(dtype=np.float64),
        None,
        *replicates,
    )
