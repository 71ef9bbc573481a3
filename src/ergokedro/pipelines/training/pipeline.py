"""One template, instantiated for every run as a namespace: train → evaluate."""

from kedro.pipeline import Pipeline, node, pipeline

from ergokedro.design.runs import Run
from ergokedro.pipelines.training import nodes

_SHARED = {"token_store", "tokenizer", "evaluation_windows"}
_PARAMETERS = ("params:model", "params:training", "params:evaluation", "params:seed")


def create_pipeline(runs: list[Run]) -> Pipeline:
    """Training and evaluation of each of `runs`, independent of each other."""
    copies = [
        pipeline(
            _template(),
            namespace=run.name,
            inputs=_SHARED,
            # Without the mapping Kedro would look for parameters inside the namespace.
            parameters={name: name for name in _PARAMETERS},
        )
        for run in runs
    ]
    return Pipeline([node for copy in copies for node in copy.nodes], tags="training")


def _template() -> Pipeline:
    return Pipeline(
        [
            node(
                nodes.train_model,
                [
                    "token_store",
                    "tokenizer",
                    "manifest",
                    "evaluation_windows",
                    "params:model",
                    "params:training",
                    "params:seed",
                    "checkpoints",
                ],
                ["model", "history", "summary"],
                name="train_model",
            ),
            node(
                nodes.evaluate_model,
                [
                    "model",
                    "summary",
                    "token_store",
                    "tokenizer",
                    "manifest",
                    "evaluation_windows",
                    "params:evaluation",
                    "params:training",
                    "checkpoints",
                ],
                "nll",
                name="evaluate_model",
            ),
        ]
    )
