"""The project's pipelines, narrowed to the runs that the parameters ask for."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from ergokedro.analysis.controls import plan_experiment
from ergokedro.design.references import reference_runs
from ergokedro.errors import ErgokedroError
from ergokedro.pipelines import (
    analysis,
    comparison,
    data_processing,
    graph,
    mixture_design,
    training,
)
from ergokedro.runtime.config_loader import current_parameters


def register_pipelines() -> dict[str, Pipeline]:
    """All pipelines by name; `__default__` is the whole experiment, without the comparison."""
    parameters = current_parameters()
    runs = plan_experiment(parameters.runs, parameters.n_components, parameters.controls)
    if len(runs) > parameters.largest_sweep:
        raise ErgokedroError(
            f"The settings ask for {len(runs):,} runs, more than largest_sweep = "
            f"{parameters.largest_sweep}. Set largest_sweep={len(runs)} to make them all (with "
            "plan=true: to see what they would cost), or lower mixture.top_n, or switch a control "
            "off."
        )
    references = list(reference_runs(parameters.references))
    pipelines = {
        "data_processing": data_processing.create_pipeline(),
        "mixture_design": mixture_design.create_pipeline(runs),
        "training": training.create_pipeline(runs, references),
        "analysis": analysis.create_pipeline(runs, references),
    }
    others = {"comparison": comparison.create_pipeline()}
    if graph.kedro_viz_asks():
        return {**graph.drawn_graph(pipelines), **others}
    # One constructor call: adding pipelines up one by one is quadratic in their nodes.
    everything = Pipeline([node for pipeline in pipelines.values() for node in pipeline.nodes])
    return {**pipelines, **others, "__default__": everything}
