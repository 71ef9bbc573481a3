"""Kedro's part of the sweep: its runs are trained side by side, all else in order.

They share one process, in a thread each: torch computes outside Python's lock, so that small
models leave each other alone, and the tracker and the progress display need no messenger.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from typing import Any

from kedro.framework.session import KedroSession
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.runner import AbstractRunner, SequentialRunner
from pluggy import PluginManager

from ergokedro import progress
from ergokedro.configuration import current_parameters

log = logging.getLogger(__name__)


class SweepSession(KedroSession):
    """A session whose default runner is :class:`SweepRunner`."""

    def run(self, *args: Any, runner: AbstractRunner | None = None, **kwargs: Any) -> Any:
        """As Kedro's; the runner that `--runner` names keeps its place."""
        if runner is None or type(runner) is SequentialRunner:
            runner = SweepRunner()
        return super().run(*args, runner=runner, **kwargs)


class SweepRunner(SequentialRunner):
    """Runs the nodes in order, and the namespaces of the sweep side by side where that is faster.

    :func:`ergokedro.machine.choose_machine` says how many at a time.
    """

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
            at_once = announce(parts, catalog)
            _side_by_side(run, parts, at_once)
        if last:
            run(Pipeline(last))


def announce(sweep: list[Pipeline], catalog: CatalogProtocol) -> int:
    """Say what the sweep is computed with and what it will cost; give the runs at a time."""
    from ergokedro.machine import choose_machine
    from ergokedro.model import model_config
    from ergokedro.plan import describe_plan

    params = current_parameters()
    config = model_config(params.model, catalog.load("tokenizer").vocab_size)
    tokens = params.training.batch_size * params.mixture.window_length
    machine = choose_machine(params.training, config.multiplied_weights, tokens)
    to_train = [node for part in sweep for node in part.nodes if node.name.endswith("train_model")]
    if to_train:
        manifests = [catalog.load(f"{node.namespace}.manifest") for node in to_train]
        log.info(machine.describe())
        log.info(describe_plan(manifests, config, params.training, machine))
    return machine.parallel_runs


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
    finally:
        progress.resume()
