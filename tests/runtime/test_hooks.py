"""What Kedro's hooks of this project refuse before a run."""

from __future__ import annotations

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline

from ergokedro.errors import ErgokedroError
from ergokedro.runtime.hooks import check_inputs


def test_an_input_that_no_pipeline_makes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pipeline([node(lambda data: data, "results_of_x", "figure")])
    monkeypatch.setattr("ergokedro.runtime.hooks.project_pipelines", {"analysis": figure})
    monkeypatch.setattr("ergokedro.runtime.hooks._check_k", lambda catalog: None)
    with pytest.raises(ErgokedroError, match=r"results_of_x\. No pipeline makes this"):
        check_inputs(figure, DataCatalog())
