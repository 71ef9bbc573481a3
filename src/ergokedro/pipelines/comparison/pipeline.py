"""files of all experiments → those that are asked for → table, figure and page."""

from kedro.pipeline import Pipeline, node

from ergokedro.pipelines.comparison import nodes

_FILES = ["all_settings", "all_results", "all_designs", "all_evaluation_windows", "all_nll"]


def create_pipeline() -> Pipeline:
    """The comparison of the experiments that the setting `experiments` names."""
    return Pipeline(
        [
            node(
                nodes.read_experiments,
                ["params:experiments", *_FILES],
                "compared_experiments",
                name="read_experiments",
            ),
            node(
                nodes.compare_experiments,
                "compared_experiments",
                "comparison",
                name="compare_experiments",
            ),
            node(nodes.plot_effects, "comparison", "comparison_figure", name="plot_effects"),
            node(
                nodes.write_comparison,
                ["compared_experiments", "comparison", "comparison_figure"],
                ["comparison_markdown", "comparison_html"],
                name="write_comparison",
            ),
        ],
        tags="comparison",
    )
