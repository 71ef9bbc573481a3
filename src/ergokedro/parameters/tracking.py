"""Settings of MLflow, in `conf/<env>/tracking.yml`."""

from __future__ import annotations

from pydantic import Field

from ergokedro.parameters.base import ParameterGroup


class TrackingParameters(ParameterGroup):
    """MLflow, in `conf/<env>/tracking.yml` or `--params`. These settings change no result."""

    enabled: bool = Field(True, description="Whether runs are tracked.")
    tracking_uri: str | None = Field(
        None,
        description=(
            "Tracking URI; default: the SQLite file mlflow.db in the project's root. The "
            "environment variable MLFLOW_TRACKING_URI has priority."
        ),
    )
    experiment: str = Field("ergokedro", min_length=1, description="MLflow experiment.")
    system_metrics: bool = Field(
        False, description="Log use of processors, memory, disk and network, every 10 seconds."
    )
    log_models: bool = Field(
        False, description="Log every run's model, for mlflow.transformers.load_model."
    )
