"""The series of the control runs."""

from __future__ import annotations

from collections.abc import Container

import pandas as pd

from ergokedro.analysis.controls import CONTROLS
from ergokedro.reporting.figures.chart import Axis, Chart, Curve, Level
from ergokedro.reporting.figures.style import K_LABEL, XE_LABEL, category_marker, control_colour
from ergokedro.reporting.results import interval_note, pick_rows


class ControlsWithSeries(Container[str]):
    """The names of all registered controls that have a series of their own."""

    def __contains__(self, name: object) -> bool:
        """Whether there is such a control; asked when pipelines are built, after all plugins."""
        return isinstance(name, str) and name in CONTROLS and bool(CONTROLS[name].series)


def plot_controls(results: pd.DataFrame, split: str = "test") -> Chart:
    """Differences to K = 1 of every control that has them, else XE of every control run."""
    differences = _curves(results, "difference_to_k1", split)
    if differences:
        last = max(differences, key=lambda curve: curve.x[-1])
        shown = results[(results.quantity == "difference_to_k1") & (results.split == split)]
        shown = shown[shown.series.isin([control.series for control in CONTROLS.values()])]
        return Chart(
            f"{last.label[:1].upper()}{last.label[1:]}: {last.end:+.4f} nats per token at K = "
            f"{last.x[-1]:.0f}",
            f"Change of cross entropy from K = 1 on {split} text, nats per token."
            f"{interval_note(results, shown)}",
            Axis(K_LABEL, "whole"),
            differences,
            levels=[Level(0, "as K = 1")],
            zero=True,
        )
    runs = _curves(results, "xe", split)
    return Chart(
        f"Runs of the controls: {', '.join(curve.label for curve in runs)}",
        f"{XE_LABEL.capitalize()}, {split} text. One point for each run.",
        Axis(K_LABEL, "whole"),
        runs,
    )


def _curves(results: pd.DataFrame, quantity: str, split: str) -> list[Curve]:
    """One curve per control; points alone where it has several runs of a K, or leaves one out."""
    curves = []
    for index, control in enumerate(CONTROLS.values()):
        if not control.series:
            continue
        rows = pick_rows(results, quantity, control.series, split)
        if len(rows):
            line = "solid" if (rows.k.diff().dropna() == 1).all() else "none"
            style = {"marker": category_marker(index), "line": line}
            curves.append(Curve.of(rows, control.title, control_colour(index), **style))
    return curves
