"""What Kedro-Viz draws: the same nodes in a box per pipeline, with few datasets between the boxes.

Every run has datasets that pass from one pipeline to the next. Drawn one by one they would hide
the pipelines, so one dataset of each kind, such as runs.nll, stands for those of all runs.
Kedro-Viz draws what no other box reads outside of the box, too, so a node inside takes it. This
graph is never run.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any

from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.pipeline.preview_contract import TextPreview

from ergokedro.reporting.figures import FigureSpec

# Drawn outside of its box, although no pipeline reads it.
_RESULT = "report_html"


class DrawnNode(Node):
    """A node in the box of its pipeline, with the name that `kedro run --nodes` takes."""

    @property
    def name(self) -> str:
        """The name without that of the pipeline, by which Kedro-Viz makes boxes."""
        return super().name.partition(".")[2]

    def preview(self) -> TextPreview:
        """A description, which Kedro-Viz shows below the node's inputs and outputs."""
        return TextPreview(_description(self.func))


def kedro_viz_asks() -> bool:
    """Whether it is Kedro-Viz that asks for the pipelines.

    The stack says so. The loaded modules do not: a notebook that runs pipelines loads them, too.
    """
    names = (
        frame.f_globals.get("__name__") for frame, _ in traceback.walk_stack(inspect.currentframe())
    )
    return "kedro_viz.integrations.kedro.data_loader" in names


def drawn_graph(pipelines: dict[str, Pipeline]) -> dict[str, Pipeline]:
    """The graph of each pipeline, and that of all of them as `__default__`.

    Parameters
    ----------
    pipelines : by name, as they are run; the namespace of a node is that of its run.
    """
    nodes = {name: pipeline.nodes for name, pipeline in pipelines.items()}
    runs = {node.namespace for part in nodes.values() for node in part if node.namespace}
    boxes = {
        name: _box(name, part, runs, _read_by(nodes, others=name)) for name, part in nodes.items()
    }
    everything = Pipeline([node for box in boxes.values() for node in box])
    return {name: Pipeline(box) for name, box in boxes.items()} | {"__default__": everything}


def _read_by(nodes: dict[str, list[Node]], others: str) -> set[str]:
    """The datasets that pipelines other than this one read."""
    return {
        name
        for pipeline, part in nodes.items()
        if pipeline != others
        for node in part
        for name in node.inputs
    }


def _box(name: str, nodes: list[Node], runs: set[str], read_elsewhere: set[str]) -> list[Node]:
    """The nodes of a pipeline in a box, with those that gather what the runs and the box give."""
    made = [output for node in nodes if node.namespace for output in node.outputs]
    read_here = {dataset for node in nodes for dataset in node.inputs}
    drawn = [_draw(node, name, runs, set(made) if node.namespace else set()) for node in nodes]
    # What is read inside the run alone, as its model, stays in the run's box.
    given = [output for output in made if output in read_elsewhere or output not in read_here]
    if given:
        of_all = list(dict.fromkeys(_of_all(output, runs) for output in given))
        drawn.append(_stand_in(gather_runs, given, of_all, name))
    outside = {_RESULT, *(_of_all(dataset, runs) for dataset in read_elsewhere)}
    read = {dataset for node in drawn for dataset in node.inputs}
    kept = sorted({dataset for node in drawn for dataset in node.outputs} - read - outside)
    return [*drawn, _stand_in(keep_for_readers, kept, None, name)] if kept else drawn


def _stand_in(
    function: Callable[..., None], inputs: list[str], outputs: list[str] | None, box: str
) -> DrawnNode:
    name = f"{function.__name__}_{box}"
    return _drawn_node(Node(function, inputs, outputs, name=name, namespace=box))


def gather_runs(*datasets: Any) -> None:
    """Stands for all runs in this graph; the analysis reads the datasets of each run itself."""


def keep_for_readers(*datasets: Any) -> None:
    """Stands for people in this graph: no other pipeline reads these files."""


def _draw(node: Node, box: str, runs: set[str], own: set[str]) -> Node:
    """A node in a box, with one dataset for all runs in place of those that are not its `own`."""

    def rename(names: Any) -> Any:
        if isinstance(names, dict):
            return {key: rename(name) for key, name in names.items()}
        if isinstance(names, list):
            return [rename(name) for name in names]
        return names if names in own else _of_all(names, runs)

    outputs = rename(node._outputs)
    return _drawn_node(
        node._copy(
            inputs=rename(node._inputs),
            outputs=list(dict.fromkeys(outputs)) if isinstance(outputs, list) else outputs,
            namespace=f"{box}.{node.namespace}" if node.namespace else box,
        )
    )


def _of_all(dataset: str, runs: set[str]) -> str:
    """Name of what stands for the dataset in all runs: runs.nll for k3.nll; others as they are."""
    run, _, kind = dataset.rpartition(".")
    return f"runs.{kind}" if run in runs else dataset


def _drawn_node(node: Node) -> DrawnNode:
    return DrawnNode(
        node.func,
        node._inputs,
        node._outputs,
        name=node._name,
        namespace=node.namespace,
        tags=node.tags,
    )


def _description(function: Callable[..., Any]) -> str:
    """What a figure shows, or else what the function's docstring says before its sections."""
    figure = getattr(function, "__self__", None)
    if isinstance(figure, FigureSpec):
        return f"{figure.title}. {figure.how_to_read}"
    return (inspect.getdoc(function) or "").partition("\n\nParameters\n")[0]
