"""NLL arrays → results → tables, figures and report."""

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from ergokedro.design.runs import Run
from ergokedro.pipelines.analysis import nodes
from ergokedro.reporting.figures import FIGURES, FigureSpec


def create_pipeline(runs: list[Run], references: Iterable[str] = ()) -> Pipeline:
    """The analysis of `runs`, and of published models by the names of their files."""
    in_chain = [run for run in runs if run.in_chain]
    figures = FIGURES.planned("analysis", {run.control for run in runs if not run.in_chain})
    return Pipeline(
        [
            *[_figure_node(name, figure, in_chain) for name, figure in figures.items()],
            node(
                nodes.compute_exact_nll,
                ["token_store", "tokenizer", "evaluation_windows", "design", "params:corpus"],
                "exact_nll",
                name="compute_exact_nll",
            ),
            _measure_node(runs, in_chain, references),
            node(
                nodes.tabulate,
                {
                    "results": "results",
                    "design": "design",
                    "parameters": "parameters",
                    **_of_each(in_chain, "summary"),
                },
                ["xe_table", "acceptance"],
                name="tabulate",
            ),
            node(
                nodes.keep_settings,
                {"parameters": "parameters", **_of_each(in_chain, "summary")},
                "settings",
                name="keep_settings",
            ),
            _report_node(figures, in_chain),
        ],
        tags="analysis",
    )


def _figure_node(name: str, figure: FigureSpec, in_chain: list[Run]) -> Node:
    """Draws a figure, as a picture and, where it has that form, as an interactive one."""
    inputs = {entry: entry for entry in figure.inputs if entry != "histories"}
    if "histories" in figure.inputs:
        inputs |= {f"histories:{run.k}": f"{run.name}.history" for run in in_chain}
    return node(figure.draw, inputs, figure.outputs(name), name=f"plot_{name}")


def _measure_node(runs: list[Run], in_chain: list[Run], references: Iterable[str]) -> Node:
    """Measures all runs."""
    inputs = {
        "evaluation_windows": "evaluation_windows",
        "design": "design",
        "token_store": "token_store",
        "exact_nll": "exact_nll",
        "params": "params:analysis",
        "k": "params:k",
        "controls": "params:controls",
        **_of_each(runs, "nll", "manifest", "summary"),
        **_of_each(in_chain, "history"),
        **{f"reference:{name}": f"{name}.nll" for name in references},
    }
    return node(nodes.measure, inputs, "results", name="measure")


def _report_node(figures: dict[str, FigureSpec], in_chain: list[Run]) -> Node:
    """Writes the report with these figures."""
    made = ("results", "xe_table", "acceptance", "design", "parameters")
    inputs = {
        **{name: name for name in (*made, "token_store", "tokenizer")},
        **{f"figure:{name}": f"{name}.figure" for name in figures},
        **{f"plotly:{n}": f"{n}.plotly" for n, figure in figures.items() if figure.interactive},
        **_of_each(in_chain, "manifest", "summary", "history"),
    }
    outputs = ["report_markdown", "report_html"]
    return node(nodes.write_report, inputs, outputs, name="write_report")


def _of_each(runs: list[Run], *kinds: str) -> dict[str, str]:
    """Keyword arguments such as nll:k3 for the dataset k3.nll."""
    return {f"{kind}:{run.name}": f"{run.name}.{kind}" for kind in kinds for run in runs}
