"""Trained models in the form in which MLflow serves them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TASK = "text-generation"
_NAME = "model"  # `runs:/<id of the run>/model`
_REQUIREMENTS = ("transformers", "torch")


def log_transformers_model(
    client: MlflowClient, experiment: str, run: str, directory: Path
) -> None:
    """Log a directory of transformers as the model of a run, with signature and input example.

    Nothing is looked up on the hub: requirements and model card are given.

    Parameters
    ----------
    experiment, run : ids.
    """
    from huggingface_hub import ModelCard
    from mlflow import transformers as flavor
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    from ergokedro.models.transformers_models.architecture import quietly

    text = Schema([ColSpec("string")])
    model = client.create_logged_model(experiment, _NAME, source_run_id=run, model_type=_TASK)
    with TemporaryDirectory() as work, quietly():
        from transformers import pipeline

        target = Path(work, _NAME)
        flavor.save_model(
            pipeline(_TASK, model=str(directory.resolve())),
            str(target),
            mlflow_model=Model(model_id=model.model_id, run_id=run),
            model_card=ModelCard.load(directory / "README.md"),
            signature=ModelSignature(text, text),
            input_example="The",
            pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
        )
        client.log_model_artifacts(model.model_id, str(target))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run, [LoggedModelOutput(model.model_id, step=0)])
