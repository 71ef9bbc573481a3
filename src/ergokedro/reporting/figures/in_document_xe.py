"""Cross entropy by position in the document, of every K."""

from __future__ import annotations

import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart
from ergokedro.reporting.figures.in_context_xe import by_k
from ergokedro.reporting.figures.style import DOCUMENT_LABEL
from ergokedro.reporting.results import component_names, interval_note, n_components, pick_rows

_BAND = "Band of the largest K, where it is above 0"


def plot_in_document_xe(results: pd.DataFrame, split: str = "test") -> Chart:
    """XE in bins of positions in the document, on the smallest component."""
    curves = pick_rows(results, "in_document_xe", "smallest", split)
    # Of a few windows an interval can be so wide that all curves would look flat beside it.
    curves[["low", "high"]] = curves[["low", "high"]].where(curves.low > 0)
    return Chart(
        _title(curves),
        f"Cross entropy on {split} text of {component_names(results)[0]}, nats per token, means "
        f"over bins that double.{interval_note(results, curves, _BAND)}",
        Axis(DOCUMENT_LABEL, "log"),
        by_k(curves, n_components(results)),
    )


def _title(curves: pd.DataFrame) -> str:
    if curves.empty:
        return "No document has two bins of positions"
    last = curves[curves.k == curves.k.max()]
    change = float(last.value.iloc[-1] - last.value.iloc[0])
    verb = "falls" if change < 0 else "rises"
    return (
        f"Along the document cross entropy {verb} by {abs(change):.3f} nats at K = {last.k.iloc[0]}"
    )
