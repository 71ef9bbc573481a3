"""One template, instantiated for every run as a namespace: train → evaluate → describe.

A published model is a namespace of one node. All are opened before any run is trained.
"""

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node, pipeline
from kedro.pipeline.node import Node

from ergokedro.design.runs import Run
from ergokedro.pipelines.training import nodes

_SHARED = {"token_store", "tokenizer", "evaluation_windows", "design"}


def create_pipeline(runs: list[Run], references: Sequence[str] = ()) -> Pipeline:
    """Training and evaluation of each of `runs`, independent of each other.

    Parameters
    ----------
    references : namespaces of the published models that are measured, too.
    """
    copies = [_copy(_training(), run.name, _SHARED) for run in runs]
    shared = {*_SHARED, "corpus"}
    measured = [_copy(_measurement(), name, shared) for name in references]
    opened = [_open_references(references)] if references else []
    parts = [*opened, *copies, *measured]
    return Pipeline([node for part in parts for node in part.nodes], tags="training")


def _copy(template: Pipeline, namespace: str, shared: set[str]) -> Pipeline:
    """The template in a namespace, outside of which are `shared` datasets and all parameters."""
    # Without the mapping Kedro would look for parameters inside the namespace.
    given = template.inputs()
    parameters = {n: n for n in given if n.startswith("params:") or n == "parameters"}
    return pipeline(template, namespace=namespace, inputs=shared, parameters=parameters)


def _training() -> Pipeline:
    return Pipeline([_train_model(), _evaluate_model(), _describe_model()])


def _train_model() -> Node:
    inputs = [
        "token_store",
        "tokenizer",
        "manifest",
        "evaluation_windows",
        "params:model",
        "params:training",
        "params:seed",
        "checkpoints",
    ]
    return node(nodes.train_model, inputs, ["model", "history", "summary"], name="train_model")


def _evaluate_model() -> Node:
    inputs = [
        "model",
        "summary",
        "token_store",
        "tokenizer",
        "manifest",
        "evaluation_windows",
        "params:evaluation",
        "params:training",
        "checkpoints",
    ]
    return node(nodes.evaluate_model, inputs, "nll", name="evaluate_model")


def _describe_model() -> Node:
    inputs = [
        "summary",
        "manifest",
        "nll",
        "evaluation_windows",
        "design",
        "tokenizer",
        "parameters",
    ]
    return node(nodes.describe_model, inputs, "card", name="describe_model")


def _open_references(references: Sequence[str]) -> Pipeline:
    outputs = [f"{name}.reference" for name in references]
    return Pipeline(
        [node(nodes.open_references, "params:references", outputs, name="open_references")]
    )


def _measurement() -> Pipeline:
    inputs = [
        "reference",
        "corpus",
        "token_store",
        "tokenizer",
        "design",
        "evaluation_windows",
        "params:evaluation",
        "params:training",
        "checkpoints",
    ]
    return Pipeline([node(nodes.evaluate_reference, inputs, "nll", name="evaluate_reference")])
