"""A figure is one object, wherever it comes from."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from ergokedro.errors import ErgokedroError
from ergokedro.reporting.figures import FIGURES, FigureSpec


def test_the_registry_is_importable_without_slow_libraries() -> None:
    code = (
        "import sys, ergokedro.reporting.figures; "
        "print({'matplotlib', 'plotly', 'kedro', 'torch'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "set()", printed.stderr


def test_figures_are_planned_by_the_controls_that_are_planned() -> None:
    chain = [
        "effect_of_k", "xe_by_k", "in_context_xe", "in_document_xe", "learning_curves", "train_gap",
        "component_heatmap",
    ]  # fmt: skip
    of_specialists = [
        "decomposition", "others_worth", "identification", "naming", "specialists",
        "distinguishability", "own_text", "exchange",
    ]  # fmt: skip
    assert list(FIGURES.planned("mixture_design")) == ["token_accounting", "document_lengths"]
    assert list(FIGURES.planned("analysis")) == chain
    assert list(FIGURES.planned("analysis", ["specialists"])) == chain + of_specialists
    assert list(FIGURES.planned("analysis", ["subsets"])) == [*chain, "exchange", "controls"]
    for control in ("growing", "pseudo", "seeds"):
        assert list(FIGURES.planned("analysis", [control])) == [*chain, "controls"]


def test_a_figure_draws_its_inputs_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("ergokedro.reporting.figures.registry.fit_fonts", drawn.append)
    monkeypatch.setattr("ergokedro.reporting.figures.registry.chart_to_plotly", len)
    static = FigureSpec("", lambda *inputs: inputs, False, ("histories", "a"))
    inputs = {"a": "A", "unused": 0, "histories:1": "one", "histories:12": "twelve"}
    expected = ({1: "one", 12: "twelve"}, "A")
    assert static.draw(**inputs) == [expected]
    assert static.outputs("x") == ["x.figure"]
    assert drawn == [expected]
    chart = replace(static, interactive=True)
    assert chart.draw(**inputs) == [expected, 2]
    assert chart.outputs("x") == ["x.figure", "x.plotly"]


@pytest.mark.parametrize("name", ["a.b", "a b", "", "../a"])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(ErgokedroError, match="letters, digits and '_'"):
        FIGURES.register(name, FIGURES["controls"])
    assert name not in FIGURES
