"""The training pipeline: one template per K, and its nodes on a small store."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ergokedro.design.runs import chain
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import EvaluationParameters, ModelParameters, TrainingParameters
from ergokedro.pipelines.training import create_pipeline, nodes
from ergokedro.runtime import tracking
from ergokedro.runtime.sweep import _divide
from small_training import small_run


def test_each_k_is_a_namespace_of_the_same_template() -> None:
    pipeline = create_pipeline([chain(1), chain(3)])
    assert {node.name for node in pipeline.nodes} == {
        f"k{k}.{name}"
        for k in (1, 3)
        for name in ("train_model", "evaluate_model", "describe_model")
    }
    assert {node.namespace for node in pipeline.nodes} == {"k1", "k3"}
    shared = {"token_store", "tokenizer", "evaluation_windows", "design", "parameters"}
    params = {f"params:{name}" for name in ("model", "training", "evaluation", "seed")}
    own = {f"k{k}.{name}" for k in (1, 3) for name in ("manifest", "checkpoints")}
    assert pipeline.inputs() == shared | params | own
    assert pipeline.all_outputs() == {
        f"k{k}.{name}" for k in (1, 3) for name in ("model", "history", "summary", "nll", "card")
    }
    assert all("training" in node.tags for node in pipeline.nodes)


def test_references_are_opened_before_anything_is_trained() -> None:
    names = ["references.a", "references.b"]
    pipeline = create_pipeline([chain(1)], names)
    before, sweep, after = _divide(pipeline)
    (opening,) = before.nodes
    assert opening.name == "open_references"
    assert opening.inputs == ["params:references"]
    assert opening.outputs == [f"{name}.reference" for name in names]
    assert not after.nodes
    measured = {node.namespace: node for node in sweep.nodes if node.namespace in names}
    assert set(measured) == set(names)
    for name, node in measured.items():
        assert node.outputs == [f"{name}.nll"]
        assert {"corpus", "design", "params:evaluation", f"{name}.reference"} <= set(node.inputs)


def test_the_nodes_train_and_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = small_run(tmp_path / "store")
    tokenizer: Any = SimpleNamespace(fingerprint=small.manifest.tokenizer)
    inputs = small.store, tokenizer, small.manifest, small.windows
    size, evaluation = ModelParameters(hidden_size=8), EvaluationParameters()
    training = TrainingParameters(epochs=1, validation_windows=1, device="cpu", threads=1)
    kept = tmp_path / "checkpoints"
    tags: list[tuple[str, str]] = []
    monkeypatch.setattr(tracking, "tag", lambda name, value: tags.append((name, value)))
    model, history, summary = nodes.train_model(*inputs, size, training, 3, kept)
    assert (summary.run, summary.seed) == ("k2", 3)
    assert set(history.component) == {"", "a", "b"}
    arrays = nodes.evaluate_model(model, summary, *inputs, evaluation, training, kept)
    assert arrays.meta.fingerprints.weights == summary.final_weights
    assert arrays.nll["test"].shape == (4, 19)

    other = SimpleNamespace(fingerprint="other")
    for node, others in (
        (nodes.train_model, (size, training, 3, kept)),
        (nodes.evaluate_model, (evaluation, training, kept)),
    ):
        stale: Any = (small.store, other, *inputs[2:], *others)
        before = () if node is nodes.train_model else (model, summary)
        with pytest.raises(ErgokedroError, match="tokenizer"):
            node(*before, *stale)

    def forbidden(*args: Any) -> Any:
        raise AssertionError("done again")

    monkeypatch.setattr("ergokedro.training.step.Stepper.step", forbidden)
    monkeypatch.setattr("ergokedro.training.run.evaluate", forbidden)
    assert tags == []
    assert nodes.train_model(*inputs, size, training, 3, kept)[2] == summary
    assert tags == [("reused", "true")]
    again = nodes.evaluate_model(model, summary, *inputs, evaluation, training, kept)
    np.testing.assert_array_equal(again.nll["test"], arrays.nll["test"])
    repeat = training.model_copy(update={"repeat": True})
    with pytest.raises(AssertionError, match="done again"):
        nodes.evaluate_model(model, summary, *inputs, evaluation, repeat, kept)
    with pytest.raises(AssertionError, match="done again"):
        nodes.train_model(*inputs, size, repeat, 3, kept)
