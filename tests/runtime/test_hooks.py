"""What Kedro's hooks of this project refuse before a run, and what they say after one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node, pipeline

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import TrackingParameters
from ergokedro.runtime.hooks import ProjectHooks, check_inputs


def test_an_input_that_no_pipeline_makes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = pipeline([node(lambda data: data, "results_of_x", "figure")])
    monkeypatch.setattr("ergokedro.runtime.hooks.project_pipelines", {"analysis": figure})
    monkeypatch.setattr("ergokedro.runtime.hooks._check_k", lambda catalog: None)
    with pytest.raises(ErgokedroError, match=r"results_of_x\. No pipeline makes this"):
        check_inputs(figure, DataCatalog())


def test_a_session_says_nothing_of_the_one_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a notebook: one process, one object of hooks, several sessions."""
    config = {
        "parameters": {"plan": False, "experiment": None},
        "globals": {"experiment": "mine", "data_root": str(tmp_path)},
        "tracking": TrackingParameters(enabled=False),
    }
    hooks, catalog, nothing = ProjectHooks(), DataCatalog(), Pipeline([])
    hooks.after_context_created(SimpleNamespace(config_loader=config, project_path=tmp_path))
    hooks._tracker, hooks._left_out = Mock(page="an address"), "runs that were left out"
    hooks.before_pipeline_run({"only_missing_outputs": False}, nothing, catalog)
    hooks.after_pipeline_run(nothing, catalog)
    assert capsys.readouterr().out == ""
