"""Cross entropy in context: L(t) of every K."""

from __future__ import annotations

import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Curve
from ergokedro.reporting.figures.reference_lines import reference_curves
from ergokedro.reporting.figures.style import POSITION_LABEL, colour_of
from ergokedro.reporting.references import on_series
from ergokedro.reporting.results import component_names, interval_note, n_components, pick_rows

BAND = "Band of the largest K"  # as by_k draws it


def plot_in_context_xe(results: pd.DataFrame, split: str = "test") -> Chart:
    """L(t) of every K in bins of t on the smallest component, and the exact optimum."""
    curves = pick_rows(results, "binned_in_context_xe", "smallest", split)
    exact = pick_rows(results, "exact_binned_in_context_xe", "smallest", split)
    of_all = n_components(results)
    parts = [*by_k(curves, of_all), *by_k(exact, of_all, line="dashed")]
    published = on_series(results, "binned_in_context_xe", "smallest", split)
    published = published[published.k == published.k.max()]
    lines, outside = reference_curves(published, "position", parts)
    known = "" if exact.empty else " Dashed: the least possible."
    return Chart(
        _title(pick_rows(results, "in_context_gain", "smallest", split)),
        f"L(t), cross entropy at position t on {split} text of {component_names(results)[0]}, nats "
        "per token, means over bins that widen."
        f"{interval_note(results, curves, BAND)}{known}{outside}",
        Axis(POSITION_LABEL, "log"),
        [*parts, *lines],
    )


def by_k(rows: pd.DataFrame, components: int, line: str = "solid") -> list[Curve]:
    """One curve per K against the position; the largest K has its interval as a band.

    Bands of all K would lie on each other: they are of the same documents.

    Parameters
    ----------
    components : how many the design has, for the colours.
    line : only solid curves are labelled and have a band.
    """
    curves = []
    for k, curve in rows.groupby("k"):
        label = f"K = {k}" if line == "solid" else ""
        colour = colour_of(int(k), components)
        if line != "solid" or k < rows.k.max():
            curve = curve.assign(low=float("nan"), high=float("nan"))
        curves.append(Curve.of(curve, label, colour, "position", line=line, band=True))
    return curves


def _title(gains: pd.DataFrame) -> str:
    if gains.empty:
        return "Cross entropy in context"
    ends = gains.iloc[[0, -1]].drop_duplicates("k")
    words, verb = [], ""
    for row in ends.itertuples():
        before, verb = verb, "falls by" if row.value >= 0 else "rises by"
        said = "" if verb == before else f"{verb} "
        words.append(f"{said}{abs(row.value):.3f} nats at K = {row.k}")
    return f"From the first to the last positions cross entropy {' and '.join(words)}"
