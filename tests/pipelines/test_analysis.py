"""The analysis pipeline, run on datasets in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ergokedro.analysis.controls import read_settings
from ergokedro.design.runs import chain
from ergokedro.parameters import CorpusParameters, Parameters
from ergokedro.pipelines.analysis import create_pipeline
from ergokedro.pipelines.analysis.nodes import tabulate
from synthetic_results import (
    PARAMS,
    PNG,
    make_design,
    make_exact,
    make_history,
    make_manifests,
    make_runs,
    make_summary,
    make_windows,
)

# Stands for a store: the same text for all components.
TEXT = SimpleNamespace(
    tokens=np.arange(100_000) % 32,
    vocab_size=33,
    end_of_text=32,
    meta={"corpus": {}},
    span=lambda split, component: (0, 1000),
    documents=lambda split, component: pa.table({"length": [1001] * 20}),
)


def make_inputs(ks: list[int]) -> dict[str, Any]:
    windows = make_windows()
    exact = make_exact(windows)
    inputs = {
        "evaluation_windows": windows,
        "design": make_design(),
        "token_store": TEXT,
        "tokenizer": SimpleNamespace(revision=None),
        "exact_nll": exact,
        "params:analysis": PARAMS,
        "params:k": "1+3",
        "params:controls": read_settings({}),
        # As Kedro hands it over: a dictionary, parts of which are models already.
        "parameters": Parameters().model_dump(mode="json") | {"corpus": CorpusParameters()},
    }
    manifests = [manifest for manifest in make_manifests() if manifest.k in ks]
    runs = make_runs(windows, exact, manifests)
    for manifest in manifests:
        inputs[f"{manifest.run}.nll"] = runs[chain(manifest.k)]
        inputs[f"{manifest.run}.manifest"] = manifest
        inputs[f"{manifest.run}.summary"] = make_summary(manifest)
        inputs[f"{manifest.run}.history"] = make_history(manifest.k)
    return inputs


def test_inputs_are_those_of_the_runs_asked_for() -> None:
    inputs = create_pipeline([chain(2), chain(11)]).inputs()
    assert {name for name in inputs if name.startswith("k")} == {
        f"k{k}.{kind}" for k in (2, 11) for kind in ("nll", "manifest", "summary", "history")
    }


def test_results_to_report() -> None:
    pipeline = create_pipeline([chain(1), chain(3)]).from_nodes(
        "measure", "plot_learning_curves", "plot_train_gap"
    )
    data = make_inputs([1, 3])
    assert pipeline.inputs() == set(data)
    for node in pipeline.nodes:
        for name, value in node.run({name: data[name] for name in node.inputs}).items():
            # The catalog saves figures as PNG files and loads their bytes.
            data[name] = PNG if name.endswith(".figure") else value
    assert data["xe_table"].k.to_list() == [1, 3]
    assert data["acceptance"].passed.all()
    assert "K = 3" in data["report_markdown"]
    assert data["report_html"].count("data:image/png;base64,") == 7


def test_a_failed_check_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = create_pipeline([chain(1), chain(3)])
    data = make_inputs([1, 3])
    (measure,) = pipeline.only_nodes("measure").nodes
    results = measure.run({name: data[name] for name in measure.inputs})["results"]
    runs = {f"summary:k{k}": data[f"k{k}.summary"] for k in (1, 3)}
    tabulate(results, data["design"], data["parameters"], **runs)
    assert not caplog.messages
    results.loc[results.quantity == "excess", "value"] = 0.1 * results.k
    _, checks = tabulate(results, data["design"], data["parameters"], **runs)
    assert caplog.messages == [
        "Check failed: K = 1: excess on test text, nats is 0.1000, the bound 0.0050"
    ]
    assert not checks.passed.all()
