"""NLL arrays → results → tables, figures and report."""

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from ergokedro.design.runs import Run
from ergokedro.pipelines.analysis import nodes


def create_pipeline(runs: list[Run]) -> Pipeline:
    """The analysis of `runs`."""
    in_chain = [run for run in runs if run.in_chain]
    groups = {run.name.split(".")[0] for run in runs if not run.in_chain}
    optional = _plots_of(groups)
    return Pipeline(
        [
            *optional,
            node(
                nodes.compute_exact_nll,
                ["token_store", "tokenizer", "evaluation_windows", "design", "params:corpus"],
                "exact_nll",
                name="compute_exact_nll",
            ),
            node(
                nodes.measure,
                {
                    "evaluation_windows": "evaluation_windows",
                    "design": "design",
                    "exact_nll": "exact_nll",
                    "params": "params:analysis",
                    "k": "params:k",
                    "controls": "params:controls",
                    **_of_each(runs, "nll", "manifest", "summary"),
                    **_of_each(in_chain, "history"),
                },
                "results",
                name="measure",
            ),
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
                nodes.plot_xe_by_k, "results", ["xe_by_k", "xe_by_k_plotly"], name="plot_xe_by_k"
            ),
            node(
                nodes.plot_in_context_xe,
                "results",
                ["in_context_xe", "in_context_xe_plotly"],
                name="plot_in_context_xe",
            ),
            node(
                nodes.plot_learning_curves,
                {"design": "design", **_of_each(in_chain, "summary", "history")},
                "learning_curves",
                name="plot_learning_curves",
            ),
            node(
                nodes.plot_component_heatmap,
                "results",
                ["component_heatmap", "component_heatmap_plotly"],
                name="plot_component_heatmap",
            ),
            node(
                nodes.write_report,
                {
                    name: name
                    for name in (
                        "results", "xe_table", "acceptance", "design", "parameters", "xe_by_k",
                        "in_context_xe", "learning_curves", "component_heatmap",
                        *_printed(optional),
                    )
                }
                | _of_each(in_chain, "manifest", "summary"),
                ["report_markdown", "report_html"],
                name="write_report",
            ),
        ],
        tags="analysis",
    )  # fmt: skip


def _plots_of(groups: set[str]) -> list[Node]:
    """The figures that some runs beside the chain are made for."""
    plots = []
    if "specialists" in groups:
        plots.append(
            node(
                nodes.plot_decomposition,
                "results",
                ["decomposition", "decomposition_plotly"],
                name="plot_decomposition",
            )
        )
        plots.append(
            node(
                nodes.plot_specialists,
                ["results", "design"],
                ["specialists", "distinguishability"],
                name="plot_specialists",
            )
        )
    if groups - {"specialists"}:
        plots.append(node(nodes.plot_controls, "results", "controls", name="plot_controls"))
    return plots


def _printed(plots: list[Node]) -> list[str]:
    """The figures for the report, not the interactive ones."""
    names = (name for plot in plots for name in plot.outputs)
    return [name for name in names if not name.endswith("_plotly")]


def _of_each(runs: list[Run], *kinds: str) -> dict[str, str]:
    """Keyword arguments such as nll:k3 for the dataset k3.nll."""
    return {f"{kind}:{run.name}": f"{run.name}.{kind}" for kind in kinds for run in runs}
