"""Lines of published models in the figures of the runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.chart import Curve
from ergokedro.reporting.figures.style import control_colour

# How far a line may be from the runs to be in the picture, in heights of what is drawn of them.
_REACH = 3.0


def reference_curves(rows: pd.DataFrame, x: str, parts: Sequence[Curve]) -> tuple[list[Curve], str]:
    """One dotted line for each model, over the values of column `x`.

    Parameters
    ----------
    rows : of :func:`ergokedro.reporting.references.on_series`.
    parts : the runs. A model that is far from them is not drawn, since it would set the scale.

    Returns
    -------
    The lines; and a sentence that names each model that is not drawn, with its value.
    """
    seen = np.array([value for part in parts for value in part.extremes])
    low, high = (float(end) for end in (np.nanmin(seen), np.nanmax(seen)))
    reach = _REACH * (high - low)
    curves, outside = [], []
    for index, (name, curve) in enumerate(rows.groupby("run", sort=False)):
        if curve.value.between(low - reach, high + reach).any():
            curve = curve.assign(low=np.nan, high=np.nan)
            colour = control_colour(index + 1)
            curves.append(Curve.of(curve, str(name), colour, x, line="dotted"))
        else:
            outside.append(f"{name}: {curve.value.mean():.3f}, outside")
    return curves, f" {'; '.join(outside)}." if outside else ""
