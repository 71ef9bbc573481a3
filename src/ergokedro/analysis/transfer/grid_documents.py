"""The held-out documents in the intervals of the law over a grid.

All experiments of a grid have one token store, so a component's held-out documents are the same in
all runs, or more of them where D affords more windows. A document that is hard to predict is so for
every run: the errors of all runs are strongly correlated, but not fully, and not equally for all
pairs of runs. Their covariance is therefore measured, from the documents' means under every run.

With v_di document d's share of the windows of run i, and x_di its mean under it, the influence of d
on the run's XE is

    a_di = v_di (x_di - XE_i) / sqrt(1 - v_di),   0 where the run was not measured on d,

and the covariance of XE_i and XE_j is sum_d a_di a_dj: the ratio estimator of
:mod:`ergokedro.analysis.random_effects`, for several runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ergokedro.design.nll import NLLArrays

# Name -> function that reads the file.
Windows = Mapping[str, Callable[[], pd.DataFrame]]
NLL = Mapping[str, Callable[[], NLLArrays]]
RUN = ["experiment", "run"]


def document_means(rows: pd.DataFrame, windows: Windows, nll: NLL, split: str) -> pd.DataFrame:
    """Mean NLL of every document under every run that was trained on its component.

    Parameters
    ----------
    rows : columns experiment, run and component, one row per run and component.
    windows : the evaluation windows, by experiment.
    nll : by experiment and run, as 'synthetic/k3'.

    Returns
    -------
    Columns experiment, run, component, document, windows (how many) and xe (nats per token).
    """
    tables = []
    for (experiment, run), components in rows.groupby(RUN, sort=False).component:
        chosen = windows[str(experiment)]()
        chosen = chosen[chosen.split == split].reset_index(drop=True)
        xe = nll[f"{experiment}/{run}"]().nll[split].mean(axis=1, dtype=np.float64)
        by_document = (
            chosen.assign(xe=xe)[chosen.component.isin(components)]
            .groupby(["component", "document"], sort=False)
            .xe.agg(windows="size", xe="mean")
            .reset_index()
        )
        tables.append(by_document.assign(experiment=experiment, run=run))
    columns = [*RUN, "component", "document", "windows", "xe"]
    return pd.concat(tables, ignore_index=True)[columns]


class DocumentReplicates(NamedTuple):
    """XE of R runs on m components as other documents would give them.

    Attributes
    ----------
    xe : float64 (B, R, m), replicates whose covariance is that over documents; their distribution
        has no other meaning.
    documents : int64 (m,), held-out documents of each component; those of the run with the fewest.
    """

    xe: np.ndarray
    documents: np.ndarray


def document_replicates(documents: pd.DataFrame, xe: pd.DataFrame) -> DocumentReplicates:
    """Replicates of `xe` over held-out documents.

    Parameters
    ----------
    documents : of :func:`document_means`.
    xe : one row per experiment and run, one column per component; NaN where it was not measured.
    """
    moves, counts = [], []
    for column, name in enumerate(xe.columns):
        influences, count = _influences(documents[documents.component == name], xe[name])
        # As many rows as runs at most, with the same products of columns.
        by_run = np.linalg.qr(influences, mode="r")
        move = np.zeros((len(by_run), *xe.shape))
        move[:, :, column] = by_run
        moves.append(move)
        counts.append(count)
    move = np.concatenate(moves)
    # Each once up and once down; their variance, over B - 1, is then the sum of squares.
    move *= np.sqrt((2 * len(move) - 1) / 2)
    return DocumentReplicates(xe.to_numpy() + np.concatenate([move, -move]), np.array(counts))


def _influences(documents: pd.DataFrame, xe: pd.Series) -> tuple[np.ndarray, int]:
    """Influences (documents, R) of one component's documents, and how many the runs have at least.

    NaN where a run was measured on a single document, which says nothing of their spread.
    """
    table = documents.pivot(index="document", columns=RUN, values=["windows", "xe"])
    windows, means = (table[name].reindex(columns=xe.index) for name in ("windows", "xe"))
    shares = (windows / windows.sum()).to_numpy()
    residuals = means.to_numpy() - np.nansum(shares * means, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        influences = shares * residuals / np.sqrt(1 - shares)
    measured = windows.notna().to_numpy()
    of_runs = measured.sum(axis=0)
    return np.where(measured, influences, 0.0), int(of_runs[of_runs > 0].min())
