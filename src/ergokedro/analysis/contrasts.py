"""K against 1 on the same windows, as a family of tests, and only then a slope."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ergokedro.analysis.bootstrap import Interval, intervals
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow


def contrasts(experiment: Experiment) -> Iterator[ResultRow]:
    """Tests and slope on the smallest component, which all K were trained on.

    Yields
    ------
    Rows of series 'smallest', with the quantities

    - p_value: two-sided, of the difference to K = 1 over its bootstrap standard error, Student's t
      with one degree of freedom less than there are documents;
    - p_value_holm: corrected for the family of all K (Holm 1979);
    - slope_log_k: least-squares slope of XE against log K, nats per token per unit of log K.

    Nothing without K = 1 and another K.
    """
    runs = experiment.chain
    if len(runs) < 2 or runs[0].k != 1:
        return
    for split in experiment.splits:
        selection = experiment.selection(split, runs[0], "smallest")
        # Draws depend on the documents alone, so replicates of all K are paired.
        xe = np.stack(
            [
                selection.replicates(array, experiment.params).mean(axis=1)
                for array in (experiment.nll[run].nll[split] for run in runs)
            ]
        )
        documents = len(np.unique(selection.documents))
        for run, *p_values in zip(runs[1:], *_p_values(xe, documents), strict=True):
            tags = experiment.tags(run)
            for quantity, p in zip(("p_value", "p_value_holm"), p_values, strict=True):
                yield selection.row(quantity, float(p), unit="probability", **tags)
        ks = np.array([run.k for run in runs], dtype=np.float64)
        slope = _slope(np.log(ks), xe, experiment.params.confidence)
        tags = {**experiment.tags(runs[-1]), "run": "chain", "tokens": 0}
        yield selection.row("slope_log_k", slope, **tags)


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
