"""token store → accounting → design → one manifest per K, and the evaluation windows."""

from kedro.pipeline import Pipeline, node

from ergokedro.design.runs import Run
from ergokedro.pipelines.mixture_design import nodes
from ergokedro.reporting.figures import FIGURES


def create_pipeline(runs: list[Run]) -> Pipeline:
    """The mixture design pipeline with a manifest for each of `runs`."""
    return Pipeline(
        [
            node(nodes.account_tokens, "token_store", "token_accounting", name="account_tokens"),
            node(
                nodes.design_mixtures,
                ["token_store", "tokenizer", "token_accounting", "params:mixture"],
                "design",
                name="design_mixtures",
            ),
            *[
                node(
                    figure.draw,
                    {entry: entry for entry in figure.inputs},
                    figure.outputs(name),
                    name=f"plot_{name}",
                )
                for name, figure in FIGURES.planned("mixture_design").items()
            ],
            node(nodes.tabulate_budgets, "design", "budgets", name="tabulate_budgets"),
            node(
                nodes.make_manifests,
                ["token_store", "design", "params:k", "params:controls"],
                [f"{run.name}.manifest" for run in runs],
                name="make_manifests",
            ),
            node(
                nodes.choose_evaluation_windows,
                ["token_store", "tokenizer", "design", "params:evaluation", "params:training"],
                "evaluation_windows",
                name="choose_evaluation_windows",
            ),
        ],
        tags="mixture_design",
    )
