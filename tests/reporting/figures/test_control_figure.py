"""The figure of the controls shows the series of all registered controls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.controls import CONTROLS
from ergokedro.reporting.figures import FIGURES
from ergokedro.reporting.figures.controls import plot_controls
from how_to import run_page


def rows(series: str, quantity: str, ks: list[int]) -> pd.DataFrame:
    common = {"series": series, "quantity": quantity, "split": "test", "position": 0}
    values = {"value": 1.0, "low": 0.9, "high": 1.1}
    return pd.DataFrame({"k": ks}).assign(**common, **values)


def test_series_of_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CONTROLS, "_entries", dict(CONTROLS))
    run_page("extend-control.md")
    assert "controls" in FIGURES.planned("analysis", ["longer"])
    assert "controls" not in FIGURES.planned("analysis", ["specialists", "unknown"])
    results = pd.concat(
        [
            rows("balanced", "xe", [1, 2, 3]),
            rows("balanced", "difference_to_k1", [2, 3]),
            rows("pseudo", "xe", [1, 3]),
            rows("seeds", "xe", [1, 1, 3, 3]),
            rows("longer", "xe", [3]),
        ]
    )
    figure: Any = plot_controls(results)
    xe, difference = figure.axes
    balanced, pseudo, longer = xe.containers
    assert balanced.get_label() == "balanced over sets of size K"
    assert longer.get_label() == "chain with more epochs"
    assert balanced.lines[0].get_linestyle() == "-"
    assert pseudo.lines[0].get_linestyle() == "None"  # K = 2 was not run
    (crosses,) = [line for line in xe.lines if line.get_label() == "chain, each seed"]
    np.testing.assert_array_equal(crosses.get_xdata(), [1, 1, 3, 3])
    assert [bars.get_label() for bars in difference.containers] == [balanced.get_label()]
