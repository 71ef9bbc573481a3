"""The graph that Kedro-Viz draws has the nodes of the pipelines that are run."""

from __future__ import annotations

import pytest
from kedro.pipeline import Pipeline

from ergokedro.analysis.controls import plan_experiment
from ergokedro.pipelines import analysis, data_processing, mixture_design, training
from ergokedro.pipelines.graph import drawn_graph

STAND_INS = {
    "gather_runs_training",
    *(f"keep_for_readers_{box}" for box in ("data_processing", "mixture_design", "training")),
    "keep_for_readers_analysis",
}


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    """Those of the chain up to K = 3 with specialists."""
    runs = plan_experiment([1, 2, 3], 3, {"specialists": True, "specialist_form": "epochs"})
    return {
        "data_processing": data_processing.create_pipeline(),
        "mixture_design": mixture_design.create_pipeline(runs),
        "training": training.create_pipeline(runs, ["references.a"]),
        "analysis": analysis.create_pipeline(runs, ["references.a"]),
    }


def test_nodes_keep_their_names_in_the_boxes_of_their_pipelines(
    pipelines: dict[str, Pipeline],
) -> None:
    for name, pipeline in pipelines.items():
        drawn = drawn_graph(pipelines)[name]
        names = {node.name for node in drawn.nodes}
        assert names - STAND_INS == {node.name for node in pipeline.nodes}
        assert all(node.namespace.split(".")[0] == name for node in drawn.nodes)
    boxes = {node.name: node.namespace for node in drawn_graph(pipelines)["training"].nodes}
    assert boxes["k3.train_model"] == "training.k3"
    assert boxes["specialists.c2_of3.train_model"] == "training.specialists.c2_of3"


def test_one_dataset_of_each_kind_passes_between_the_boxes(pipelines: dict[str, Pipeline]) -> None:
    graph = drawn_graph(pipelines)
    training = graph["training"]
    of_runs = {name for name in training.inputs() if "." in name}
    assert of_runs == {"runs.manifest", "runs.checkpoints"}
    given = {"runs.nll", "runs.history", "runs.summary"}
    assert training.outputs() == given
    assert given < graph["analysis"].inputs()
    assert graph["data_processing"].outputs() == {"token_store"}
    assert graph["mixture_design"].outputs() == {"evaluation_windows", "runs.manifest"}
    assert graph["analysis"].outputs() == {"report_html"}
    real = {node.name for pipeline in pipelines.values() for node in pipeline.nodes}
    assert {node.name for node in graph["__default__"].nodes} == real | STAND_INS


def test_every_node_has_a_description(pipelines: dict[str, Pipeline]) -> None:
    previews = {n.name: n.preview().content for n in drawn_graph(pipelines)["__default__"].nodes}
    assert all(text and "Parameters" not in text for text in previews.values())
    assert previews["plot_decomposition"].startswith("Where the cost of K comes from. The diamond")


def test_only_kedro_viz_gets_the_drawn_graph() -> None:
    """Its modules may be loaded where pipelines are run, as in a notebook."""
    asks = "from ergokedro.pipelines.graph import kedro_viz_asks\nanswer = kedro_viz_asks()"
    for name, answer in (("kedro_viz.integrations.kedro.data_loader", True), (__name__, False)):
        names: dict[str, object] = {"__name__": name}
        exec(asks, names)
        assert names["answer"] is answer
