"""Interactive figures show the same numbers in the same colours as the printed ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from ergokedro.reporting.figures.component_heatmap import plotly_component_heatmap
from ergokedro.reporting.figures.decomposition import plotly_decomposition
from ergokedro.reporting.figures.in_context_xe import plotly_in_context_xe
from ergokedro.reporting.figures.style import colour_of, term_styles
from ergokedro.reporting.figures.xe_by_k import plotly_xe_by_k
from ergokedro.reporting.results import pick_rows
from synthetic_results import NAMES, make_all_results, make_results


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_all_results()


def rows(results: pd.DataFrame, quantity: str, series: str) -> pd.DataFrame:
    return pick_rows(results, quantity, series, "test")


def test_plotly_shows_the_same_numbers(results: pd.DataFrame) -> None:
    figure = plotly_xe_by_k(results)
    trained = [trace for trace in figure.data if trace.name == "trained model"]
    for trace, series in zip(trained, ("chain", "smallest", "all"), strict=True):
        xe = rows(results, "xe", series)
        np.testing.assert_allclose(trace.y, xe.value)
        np.testing.assert_allclose(np.add(trace.y, trace.error_y.array), xe.high)
    assert "nats" in figure.layout.yaxis.title.text


def test_in_context_xe(results: pd.DataFrame) -> None:
    figure = plotly_in_context_xe(results)
    curves = rows(results, "binned_in_context_xe", "smallest")
    for k in range(1, 6):
        (trace,) = [t for t in figure.data if t.name == f"K = {k}" and t.xaxis == "x2"]
        np.testing.assert_allclose(trace.y, curves[curves.k == k].value)
        assert trace.line.color == to_hex(colour_of(k, 5))


def test_component_heatmap(results: pd.DataFrame) -> None:
    (trace,) = plotly_component_heatmap(results).data
    xe = rows(results, "xe", "component").set_index(["k", "component"])
    assert list(trace.x) == NAMES
    for k, name in ((1, NAMES[4]), (3, NAMES[2])):
        place = k - 1, NAMES.index(name)
        assert trace.z[place] == xe.value[k, name]
        hint = "trained on<br>" if xe.trained[k, name] else "not trained on<br>"
        assert trace.customdata[place].startswith(hint)


def test_decomposition(results: pd.DataFrame) -> None:
    figure = plotly_decomposition(results)
    bars = {trace.name: trace for trace in figure.data if trace.type == "bar"}
    total = np.zeros(4)
    for term, (label, colour, _) in term_styles(known_sources=True).items():
        np.testing.assert_allclose(bars[label].y, rows(results, term, "chain").value)
        assert bars[label].marker.color == colour
        total += bars[label].y
    np.testing.assert_allclose(total, rows(results, "cost", "chain").value)


def test_without_an_optimum_nothing_speaks_of_it() -> None:
    results = make_results(known=False, ks=(1, 2))
    for plot in (plotly_xe_by_k, plotly_in_context_xe):
        assert "optimum" not in str(plot(results).to_dict())
