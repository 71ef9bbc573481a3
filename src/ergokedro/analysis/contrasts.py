"""K against 1 on the same windows, as a family of tests, and only then a slope."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.analysis.bootstrap import Interval, intervals
from ergokedro.analysis.nll import NLLArrays
from ergokedro.analysis.series import RESULT_COLUMNS, selections
from ergokedro.design.mixture import Design
from ergokedro.parameters import AnalysisParameters


def contrast_table(
    runs: list[NLLArrays],
    windows: pd.DataFrame,
    design: Design,
    params: AnalysisParameters,
) -> pd.DataFrame:
    """Tests and slope on the smallest component, which all K were trained on.

    Parameters
    ----------
    runs : of the chain.
    windows : the evaluation windows, in the order of the arrays.

    Returns
    -------
    Rows of the tidy results, series 'smallest', with quantities

    - p_value: two-sided, of the difference to K = 1 over its bootstrap standard error, Student's t
      with one degree of freedom less than there are documents;
    - p_value_holm: corrected for the family of all K (Holm 1979);
    - slope_log_k: least-squares slope of XE against log K, nats a token per unit of log K.

    Empty without K = 1 and another K.
    """
    by_k = {run.meta["k"]: run for run in sorted(runs, key=lambda run: run.meta["k"])}
    if 1 not in by_k or len(by_k) < 2:
        return pd.DataFrame(columns=RESULT_COLUMNS)
    rows = []
    for split in by_k[1].nll:
        here = windows[windows.split == split].reset_index(drop=True)
        (selection,) = (
            s for s in selections(here, design, design.components[:1]) if s.series == "smallest"
        )
        # Draws depend on the documents alone, so replicates of all K are paired.
        xe = np.stack(
            [selection.replicates(run.nll[split], params).mean(axis=1) for run in by_k.values()]
        )
        tags = {**selection.tags(), "split": split, "seed": by_k[1].meta["seed"], "position": 0}
        p_values = _p_values(xe, tags["documents"])
        for k, raw, corrected in zip(list(by_k)[1:], *p_values, strict=True):
            for quantity, p in (("p_value", raw), ("p_value_holm", corrected)):
                here_tags = {**tags, "run": by_k[k].meta["run"], "k": k, "quantity": quantity}
                rows.append({**here_tags, "value": p, "unit": "probability"})
        slope = _slope(np.log(list(by_k)), xe, params.confidence)
        last = {"run": "chain", "k": max(by_k), "quantity": "slope_log_k", "unit": "nats"}
        rows.append({**tags, **last, **slope._asdict()})
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def _p_values(xe: np.ndarray, documents: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the differences of rows 1.. to row 0 of (K, B + 1) replicates: raw, and after Holm."""
    from scipy.stats import t
    from statsmodels.stats.multitest import multipletests

    differences = xe[1:] - xe[0]
    errors = differences[:, 1:].std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = 2 * t.sf(np.abs(differences[:, 0]) / errors, documents - 1)
    if not np.isfinite(raw).all():  # one document alone has no spread
        return raw, np.full_like(raw, np.nan)
    return raw, multipletests(raw, method="holm")[1]


def _slope(x: np.ndarray, xe: np.ndarray, confidence: float) -> Interval:
    """Least-squares slope of every column of (K, B + 1) replicates against `x`."""
    centred = x - x.mean()
    slopes = centred @ xe / (centred @ centred)
    return intervals(slopes[:, None], confidence)[0]
