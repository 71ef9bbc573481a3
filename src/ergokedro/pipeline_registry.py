"""The project's pipelines, narrowed to the runs that the parameters ask for."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from ergokedro.configuration import current_parameters
from ergokedro.pipelines import analysis, data_processing, mixture_design, training


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines by name; `__default__` is the whole experiment."""
    runs = current_parameters().all_runs
    pipelines = {
        "data_processing": data_processing.create_pipeline(),
        "mixture_design": mixture_design.create_pipeline(runs),
        "training": training.create_pipeline(runs),
        "analysis": analysis.create_pipeline(runs),
    }
    # One constructor call: adding pipelines up one by one is quadratic in their nodes.
    everything = Pipeline([node for pipeline in pipelines.values() for node in pipeline.nodes])
    return {**pipelines, "__default__": everything}
