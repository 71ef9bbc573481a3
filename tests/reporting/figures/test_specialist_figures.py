"""Figures of specialists and decomposition show the numbers of the results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.reporting.figures.decomposition import plot_decomposition
from ergokedro.reporting.figures.distinguishability import plot_distinguishability
from ergokedro.reporting.figures.specialists import plot_specialists
from ergokedro.reporting.results import distinguishability_matrix
from synthetic_results import NAMES, make_all_results, make_design


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_all_results()


def test_specialists_by_tokens(results: pd.DataFrame) -> None:
    figure: Any = plot_specialists(results, make_design())
    assert [axis.get_title() for axis in figure.axes] == [*NAMES, ""]
    axis = figure.axes[2]
    own, *models = axis.containers
    np.testing.assert_allclose(
        own.lines[0].get_xdata(orig=False), [60_000, 75_000, 100_000, 150_000, 300_000]
    )
    assert [bars.get_label() for bars in models] == [f"model of K = {k}" for k in (5, 4, 3)][::-1]
    chosen = (results.quantity == "xe") & (results.component == NAMES[2]) & (results.k == 4)
    value = results[chosen & (results.split == "test")].value.item()
    np.testing.assert_allclose(models[1].lines[0].get_xydata(), [[1.03 * 75_000, value]])
    assert "nats" in axis.get_ylabel()
    assert "tokens" in axis.get_xlabel()


def test_distinguishability(results: pd.DataFrame) -> None:
    matrix = distinguishability_matrix(results, "value", "test")
    axis: Any = plot_distinguishability(results).axes[0]
    shown = [float(text.get_text()) for text in axis.texts]
    np.testing.assert_allclose(np.reshape(shown, (5, 5)), matrix, atol=6e-4)
    assert (np.diag(matrix) == 0).all()
    assert sum(text.get_weight() == "bold" for text in axis.texts) == 5


def test_bars_of_the_decomposition_add_up(results: pd.DataFrame) -> None:
    axis: Any = plot_decomposition(results).axes[0]
    heights = sum(np.array([bar.get_height() for bar in bars]) for bars in axis.containers[:3])
    chosen = (results.quantity == "cost") & (results.series == "chain") & (results.split == "test")
    np.testing.assert_allclose(heights, results[chosen].value)
