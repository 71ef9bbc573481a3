"""The figure of the controls shows the series of all registered controls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.controls import CONTROLS
from ergokedro.reporting.figures import FIGURES
from ergokedro.reporting.figures.chart import Curve
from ergokedro.reporting.figures.controls import plot_controls
from how_to import run_page


def rows(series: str, quantity: str, ks: list[int]) -> pd.DataFrame:
    common = {"series": series, "quantity": quantity, "split": "test", "position": 0}
    values = {"value": 1.0, "low": 0.9, "high": 1.1, "standard_error": 0.05}
    common |= {"degrees_of_freedom": 60, "draws": 1, "seeds": 1}
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
    (balanced,) = plot_controls(results).parts
    assert balanced.label == "balanced over sets of size K"
    np.testing.assert_array_equal(balanced.x, [2, 3])
    assert (
        plot_controls(results).title
        == "Balanced over sets of size K: +1.0000 nats per token at K = 3"
    )
    runs = plot_controls(results[results.quantity == "xe"])
    balanced, pseudo, seeds, longer = (curve for curve in runs.parts if isinstance(curve, Curve))
    assert longer.label == "chain with more epochs"
    assert balanced.line == "solid"
    assert pseudo.line == "none"  # K = 2 was not run
    assert (seeds.label, seeds.line) == ("chain, each seed", "none")
    np.testing.assert_array_equal(seeds.x, [1, 1, 3, 3])
