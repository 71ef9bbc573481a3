"""What the text of all components together is worth to each of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.chart import Axis, Chart, Curve, Level
from ergokedro.reporting.figures.style import category_colour, category_marker
from ergokedro.reporting.results import component_names, interval_note, pick_rows
from ergokedro.reporting.transfer import Equivalent, find_transfer

_BOUNDS = {">": "^", "<": "v"}


def plot_own_text(results: pd.DataFrame, split: str = "test") -> Chart:
    """The own-text equivalents of the largest K, beside the part that is a component's own."""
    found = find_transfer(results, split).of_largest
    known = [one for one in found if one.share.determined]
    names = component_names(results)
    rows = pick_rows(results, "own_text_share", "component", split)
    measured = rows[(rows.k == rows.k.max()) & (rows.note == "")]  # the others are bounds
    own = found[0].own if found else float("nan")
    return Chart(
        _title(known),
        f"Text of its own with which a specialist predicts {split} text as well as the model of "
        "all components does, as a part of D. Triangles: at least, or at most."
        f"{interval_note(results, measured)}",
        Axis("component that is predicted", "category", names),
        [_point(one, names.index(one.component)) for one in known],
        levels=[Level(own, "its own text")] if known else [],
        zero=True,
    )


def _point(one: Equivalent, index: int) -> Curve:
    value, low, high = one.share.estimate
    ends = (np.nan, np.nan) if one.share.note or np.isinf([low, high]).any() else (low, high)
    x, y, bottom, top = (np.array([v], dtype=np.float64) for v in (index, value, *ends))
    marker = _BOUNDS.get(one.share.note, category_marker(index))
    return Curve("", x, y, bottom, top, category_colour(index), marker, line="none")


def _title(known: list[Equivalent]) -> str:
    if not known:
        return "These runs do not determine what the others' text is worth"
    if all(one.share.note == "<" for one in known):
        return (
            f"With {known[0].k - 1} others in training each component is predicted no better than "
            f"by its own {known[0].own:.2f} of D alone"
        )
    most = max(known, key=lambda one: one.gain)
    bound = {">": "more than ", "<": "less than "}.get(most.share.note, "")
    return (
        f"With {most.k - 1} others in training {most.component} is predicted as if it had {bound}"
        f"{most.share.estimate.value:.2f} of D, of which it has {most.own:.2f}"
    )
