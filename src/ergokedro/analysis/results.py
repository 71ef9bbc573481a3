"""All results of an experiment, as one tidy table."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import pandas as pd

from ergokedro.analysis.contrasts import contrasts
from ergokedro.analysis.controls import control_rows
from ergokedro.analysis.convergence import convergence
from ergokedro.analysis.curve_fits import fits
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.measurement import measure
from ergokedro.analysis.references import references
from ergokedro.analysis.series import results_table
from ergokedro.analysis.shapes import shapes
from ergokedro.analysis.text_units import text_units
from ergokedro.analysis.transfer.rows import transfer
from ergokedro.design.records import RunSummary
from ergokedro.design.runs import Run


def all_results(
    experiment: Experiment,
    histories: Mapping[Run, pd.DataFrame],
    summaries: Mapping[Run, RunSummary],
) -> pd.DataFrame:
    """Everything that the chain and the controls show.

    Parameters
    ----------
    histories, summaries : of the training of each run of the chain.

    Returns
    -------
    One row per number; columns as in :class:`ergokedro.analysis.series.ResultRow`.
    """
    return results_table(
        chain(
            measure(experiment),
            references(experiment),
            text_units(experiment),
            convergence(experiment, histories, summaries),
            fits(experiment),
            contrasts(experiment),
            shapes(experiment),
            control_rows(experiment),
            transfer(experiment),
        )
    )
