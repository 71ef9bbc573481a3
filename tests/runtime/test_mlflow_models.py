"""A run's model in MLflow: with signature and input example, and loaded again."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from ergokedro.runtime.mlflow_store import sqlite_uri
from ergokedro.runtime.tracking import Tracker
from model_directories import make_directory, make_tokenizer


@pytest.mark.slow
def test_a_model_is_logged_without_the_hub_and_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    folder = tmp_path / "k1"
    ours = make_directory(folder, "gpt_neox", make_tokenizer(tmp_path / "tokenizer"))
    asked: list[Any] = []

    def offline(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments[0])
        raise OSError("offline")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    uri = sqlite_uri(tmp_path / "mlflow.db")
    tracker = Tracker(uri, "test", models=True)
    tracker.start("parent", {}, {})
    tracker.enter("k1")
    tracker.log_model(folder)
    tracker.complete()
    tracker.finish("FINISHED")
    assert not tracker.broken
    assert asked == []

    client = MlflowClient(uri)
    experiment: Any = client.get_experiment_by_name("test")
    (run,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'k1'")
    (output,) = run.outputs.model_outputs
    assert client.get_logged_model(output.model_id).source_run_id == run.info.run_id
    mlflow.set_tracking_uri(uri)
    try:
        for model in (f"models:/{output.model_id}", f"runs:/{run.info.run_id}/model"):
            info = mlflow.models.get_model_info(model)
            assert info.signature is not None
            assert info.saved_input_example_info is not None
            loaded = mlflow.transformers.load_model(model)
            tokens = torch.arange(24).view(2, 12)
            assert torch.allclose(loaded.model(tokens).logits, ours(tokens), atol=1e-5)
            assert loaded("The")[0]["generated_text"].startswith("The")
    finally:
        mlflow.set_tracking_uri(None)
