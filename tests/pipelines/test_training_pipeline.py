"""The training pipeline: one template per K, and its nodes on a small store."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import StoreMaker
from ergokedro.design.accounting import token_accounting
from ergokedro.design.evaluation_windows import choose_evaluation_windows
from ergokedro.design.mixture import design_mixtures, make_manifest
from ergokedro.design.runs import chain
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import (
    EvaluationParameters,
    MixtureParameters,
    ModelParameters,
    TrainingParameters,
)
from ergokedro.pipelines.training import create_pipeline, nodes
from ergokedro.training.evaluation import token_nll

LENGTHS = {
    ("train", "a"): [333, 512, 1500],
    ("train", "b"): [701, 99, 2100],
    ("validation", "a"): [320, 250],
    ("validation", "b"): [300],
    ("test", "a"): [310],
    ("test", "b"): [420],
}


def test_each_k_is_a_namespace_of_the_same_template() -> None:
    pipeline = create_pipeline([chain(1), chain(3)])
    assert {node.name for node in pipeline.nodes} == {
        f"k{k}.{name}" for k in (1, 3) for name in ("train_model", "evaluate_model")
    }
    assert {node.namespace for node in pipeline.nodes} == {"k1", "k3"}
    shared = {"token_store", "tokenizer", "evaluation_windows"}
    params = {f"params:{name}" for name in ("model", "training", "evaluation", "seed")}
    own = {f"k{k}.{name}" for k in (1, 3) for name in ("manifest", "checkpoints")}
    assert pipeline.inputs() == shared | params | own
    assert pipeline.all_outputs() == {
        f"k{k}.{name}" for k in (1, 3) for name in ("model", "history", "summary", "nll")
    }
    assert all("training" in node.tags for node in pipeline.nodes)


def test_the_nodes_train_and_measure(
    make_store: StoreMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(LENGTHS)
    tokenizer: Any = SimpleNamespace(
        vocab_size=65_000, fingerprint=store.meta["inputs"]["tokenizer"]
    )
    design = design_mixtures(store, token_accounting(store), MixtureParameters(top_n=2))
    evaluation = EvaluationParameters(windows_per_document=2)
    windows = choose_evaluation_windows(store, design, evaluation)
    manifest = make_manifest(store, design, chain(2))
    training = TrainingParameters(epochs=1, validation_windows=1, device="cpu", threads=1)
    shared, size, kept = (
        (store, tokenizer, manifest, windows),
        ModelParameters(hidden_size=8),
        tmp_path,
    )
    model, history, summary = nodes.train_model(*shared, size, training, 3, kept)
    assert (summary.run, summary.k, summary.seed) == ("k2", 2, 3)
    assert summary.components == manifest.labels
    assert summary.tokens_seen == summary.total_tokens == manifest.total_tokens
    assert set(history.component) == {"", "a", "b"}

    arrays = nodes.evaluate_model(model, summary, *shared, evaluation, training, kept)
    assert arrays.meta.fingerprints.weights == summary.final_weights
    for split, rows in windows.groupby("split"):
        tokens = np.stack([store.tokens[start : start + 100] for start in rows.start])
        np.testing.assert_allclose(arrays.nll[str(split)], token_nll(model, tokens, 9), atol=1e-5)

    other = make_manifest(store, design, chain(1))
    with pytest.raises(ErgokedroError, match="--params k=2"):
        nodes.evaluate_model(
            model, summary, store, tokenizer, other, windows, evaluation, training, kept
        )

    def forbidden(*args: Any) -> Any:
        raise AssertionError("done again")

    monkeypatch.setattr("ergokedro.training.step.Stepper.step", forbidden)
    monkeypatch.setattr("ergokedro.training.run.evaluate", forbidden)
    assert nodes.train_model(*shared, size, training, 3, kept)[2] == summary
    again = nodes.evaluate_model(model, summary, *shared, evaluation, training, kept)
    assert again.meta == arrays.meta
    for split, values in arrays.nll.items():
        np.testing.assert_array_equal(again.nll[split], values)
    repeat = training.model_copy(update={"repeat": True})
    with pytest.raises(AssertionError, match="done again"):
        nodes.evaluate_model(model, summary, *shared, evaluation, repeat, kept)
    with pytest.raises(AssertionError, match="done again"):
        nodes.train_model(*shared, size, repeat, 3, kept)
