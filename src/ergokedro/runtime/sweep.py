"""Kedro's part of the sweep: its runs are trained side by side, all else in order.

They share one process, in a thread each: torch computes outside Python's lock, so that small
models leave each other alone, and the tracker and the progress display need no messenger.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kedro.framework.session import KedroSession
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.runner import AbstractRunner, SequentialRunner
from pluggy import PluginManager

from ergokedro import progress
from ergokedro.errors import ErgokedroError
from ergokedro.runtime.config_loader import current_parameters
from ergokedro.runtime.interruption import interruptible

if TYPE_CHECKING:
    from ergokedro.training.cost_estimate import Plan

log = logging.getLogger(__name__)


PIPELINES = ("data_processing", "mixture_design", "training", "analysis")


class SweepSession(KedroSession):
    """A session whose default runner is :class:`SweepRunner`."""

    def run(self, *args: Any, runner: AbstractRunner | None = None, **kwargs: Any) -> Any:
        """As Kedro's; the runner that `--runner` names keeps its place.

        Raises
        ------
        ErgokedroError
            If a pipeline is asked for that there is not.
        """
        known = ("__default__", *PIPELINES)
        for name in kwargs.get("pipeline_names") or []:
            if name not in known:
                raise ErgokedroError(
                    f"There is no pipeline {name!r}; there are {', '.join(known[1:])}, and all of "
                    "them together where none is named."
                )
        if runner is None or type(runner) is SequentialRunner:
            runner = SweepRunner()
        try:
            with interruptible():
                return super().run(*args, runner=runner, **kwargs)
        except ValueError as error:
            if not str(error).startswith("Pipeline "):
                raise
            raise ErgokedroError(  # a name of a node, tag or namespace that there is not
                f"{error}\n`kedro registry describe __default__` lists all nodes; those of a run "
                "begin with its namespace, as in k2.train_model."
            ) from None


class SweepRunner(SequentialRunner):
    """Runs the nodes in order, and the namespaces of the sweep side by side where that is faster.

    :func:`ergokedro.training.device.choose_machine` says how many at a time.
    """

    # Kedro names a runner's log after its module; its lines are Kedro's all the same.
    _logger = logging.getLogger("kedro.runner")

    def _run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
    ) -> None:
        def run(part: Pipeline) -> None:
            AbstractRunner._run(self, part, catalog, hook_manager, run_id)

        sweep = [node for node in pipeline.nodes if node.namespace]
        needed = pipeline.to_nodes(*(node.name for node in sweep)).nodes if sweep else []
        first = [node for node in needed if node not in sweep]
        last = [node for node in pipeline.nodes if node not in needed]
        if first:
            run(Pipeline(first))
        if sweep:
            names = dict.fromkeys(node.namespace for node in sweep)
            parts = [Pipeline([n for n in sweep if n.namespace == name]) for name in names]
            plan = announce(parts, catalog)
            if plan is None:
                return
            # The longest first, so that no core waits for a long one at the end.
            tokens = {manifest.run: plan.seen(manifest) for manifest in plan.manifests}
            parts.sort(key=lambda part: -tokens.get(str(part.nodes[0].namespace), 0))
            with progress.whole(plan.tokens, "tokens"):
                _side_by_side(run, parts, plan.machine.parallel_runs)
        if last:
            run(Pipeline(last))


def announce(sweep: list[Pipeline], catalog: CatalogProtocol) -> Plan | None:
    """Say what the sweep is computed with and what it will cost; None if that was all to do."""
    from ergokedro.training.cost_estimate import make_plan

    params = current_parameters()
    to_train = [node for part in sweep for node in part.nodes if node.name.endswith("train_model")]
    manifests = [catalog.load(f"{node.namespace}.manifest") for node in to_train]
    plan = make_plan(manifests, params, catalog.load("tokenizer").vocab_size)
    if params.plan:
        print(plan.table() if manifests else "Nothing to train")
        return None
    if manifests:
        log.info(plan.machine.describe())
        log.info(plan.describe())
    return plan


def _side_by_side(run: Callable[[Pipeline], None], parts: list[Pipeline], at_once: int) -> None:
    """Run all parts; the first that fails, or a signal, ends the others at their next step."""
    if min(at_once, len(parts)) == 1:
        for part in parts:
            run(part)
        return

    def guarded(part: Pipeline) -> None:
        if progress.is_stopped():
            return
        try:
            run(part)
        except BaseException:
            progress.stop()  # here, before this thread takes up the next part
            raise

    try:
        with ThreadPoolExecutor(at_once) as pool:
            try:
                for future in as_completed([pool.submit(guarded, part) for part in parts]):
                    with suppress(progress.Stopped):  # some other part has failed
                        future.result()
            except BaseException:
                progress.stop()
                raise
        if progress.is_stopped():  # by a signal
            raise progress.Stopped
    finally:
        progress.resume()
