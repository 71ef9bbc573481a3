"""Published models have lines beside the runs, unless they are so far away as to set the scale."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.chart import Curve
from ergokedro.reporting.figures.reference_lines import reference_curves

K = np.array([1.0, 2.0])


def test_models_that_are_far_from_the_runs_are_named_and_not_drawn() -> None:
    runs = [Curve("runs", K, 2 + K / 10, np.full(2, 2.0), np.full(2, 2.3), "#1f2328")]
    rows = pd.DataFrame({"run": ["near"] * 2 + ["far"] * 2, "k": [1, 2, 1, 2]})
    rows = rows.assign(value=[2.5, 2.6, 4.0, 4.1], low=2.0, high=5.0)
    (line,), outside = reference_curves(rows, "k", runs)
    assert (line.label, line.line) == ("near", "dotted")
    np.testing.assert_array_equal(line.value, [2.5, 2.6])
    assert np.isnan(line.low).all()  # no interval: it would hide those of the runs
    assert outside == " far: 4.050, outside."
    assert reference_curves(rows[:0], "k", runs) == ([], "")
