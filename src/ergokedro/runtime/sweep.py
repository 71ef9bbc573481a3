"""Kedro's session and runner for this project: the runs of a sweep are trained side by side.

They share one process, in a thread each: torch computes outside Python's lock, so small models do
not slow each other down, and the tracker and the progress display are shared without messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.framework.project import pipelines as project_pipelines
from kedro.framework.session import KedroSession
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import AbstractRunner, SequentialRunner
from pluggy import PluginManager

from ergokedro import progress
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import Parameters
from ergokedro.runtime.config_loader import current_parameters
from ergokedro.runtime.failures import plain_error
from ergokedro.runtime.interruption import interruptible
from ergokedro.runtime.plan import announce
from ergokedro.runtime.provenance import Provenance, outside

if TYPE_CHECKING:
    from ergokedro.design.mixture import Manifest
    from ergokedro.training.cost_estimate import Plan

# The arguments of a session's run that select nodes, and their names in `Pipeline.filter`.
_FILTERS = {
    "tags": "tags",
    "node_names": "node_names",
    "namespaces": "node_namespaces",
    "from_nodes": "from_nodes",
    "to_nodes": "to_nodes",
    "from_inputs": "from_inputs",
    "to_outputs": "to_outputs",
}


class SweepSession(KedroSession):
    """A session whose default runner is :class:`SweepRunner`."""

    _requested: dict[str, Any] | None = None

    def run(self, *args: Any, runner: AbstractRunner | None = None, **kwargs: Any) -> Any:
        """Run pipelines as Kedro does, by :class:`SweepRunner` unless `--runner` names another one.

        Raises
        ------
        ErgokedroError
            If a name of a pipeline, node, tag, namespace or dataset is unknown, or the machine's
            disk or permissions end the run.
        """
        if runner is None or type(runner) is SequentialRunner:
            runner = SweepRunner()
        elif kwargs.get("only_missing_outputs") and not isinstance(runner, SweepRunner):
            raise ErgokedroError(
                "--only-missing-outputs needs a runner of the project's own, which finds out what "
                "is outdated: leave out --runner, or use ergokedro.runtime.RayRunner."
            )
        self._requested = kwargs
        try:
            with interruptible():
                return super().run(*args, runner=runner, **kwargs)
        except Exception as error:
            if plain := plain_error(error):
                raise plain from None
            raise

    def load_context(self) -> KedroContext:
        """Load the context as Kedro does, then check the names that the run was given."""
        context = super().load_context()
        if self._requested is not None:
            _check_names(self._requested)
        return context


def _check_names(requested: dict[str, Any]) -> None:
    """Refuse names of pipelines, nodes, tags, namespaces and datasets that do not exist."""
    names = requested.get("pipeline_names") or ["__default__"]
    for name in names:
        if name not in project_pipelines:
            known = ", ".join(known for known in project_pipelines if known != "__default__")
            raise ErgokedroError(
                f"There is no pipeline {name!r}. Known: {known}; all of them together run where "
                "none is named."
            )
    filters = {new: requested[name] for name, new in _FILTERS.items() if requested.get(name)}
    if filters:
        try:
            sum((project_pipelines[name] for name in names), Pipeline([])).filter(**filters)
        except ValueError as error:
            raise ErgokedroError(
                f"{error}\n`kedro registry describe __default__` lists all nodes; those of a run "
                "begin with its namespace, as in k2.train_model."
            ) from None


@dataclass(frozen=True)
class RunContext:
    """What nodes are run with; the attributes are those of Kedro's runners."""

    catalog: CatalogProtocol
    hook_manager: PluginManager | None = None
    run_id: str | None = None

    def run(self, pipeline: Pipeline) -> None:
        """Run the nodes one after the other."""
        SequentialRunner().run(pipeline, self.catalog, self.hook_manager, self.run_id)


class SweepRunner(SequentialRunner):
    """Runs nodes in order, and the namespaces of the sweep side by side where that is faster.

    :func:`ergokedro.training.device.choose_machine` decides how many run at a time.
    """

    # Whether it starts the processes of `training.processes`.
    starts_processes = False

    def run(
        self,
        pipeline: Pipeline,
        catalog: CatalogProtocol,
        hook_manager: PluginManager | None = None,
        run_id: str | None = None,
        only_missing_outputs: bool = False,
    ) -> dict[str, Any]:
        """Run a pipeline; with `only_missing_outputs` only what is missing or outdated."""
        if only_missing_outputs:
            settings = current_parameters().model_dump(mode="json")
            pipeline = Provenance(catalog, settings, contents=outside(catalog)).outdated(pipeline)
        for name in pipeline.datasets():  # made here, before several threads look them up
            catalog.get(name, fallback_to_runtime_pattern=True)
        context = RunContext(catalog, hook_manager, run_id)
        before, sweep, after = _divide(pipeline)
        if not self.starts_processes and any(n.endswith(".model") for n in sweep.all_outputs()):
            _check_processes(current_parameters())
        if before.nodes:
            context.run(before)
        if sweep.nodes and not self.run_sweep(sweep, context):
            return {}
        if after.nodes:
            context.run(after)
        return {name: catalog[name] for name in pipeline.outputs()}

    def run_sweep(self, sweep: Pipeline, context: RunContext) -> bool:
        """Run all namespaces; False if only their cost was asked for."""
        parts = _by_namespace(sweep)
        plan = announce(parts, context.catalog, self.make_plan)
        if plan is None:
            return False
        # The longest first, so that no core waits for a long one at the end.
        tokens = {manifest.run: plan.seen(manifest) for manifest in plan.manifests}
        longest_first = sorted(parts, key=lambda name: -tokens.get(name, 0))
        with progress.whole(plan.tokens, "tokens", done=plan.tokens - plan.tokens_left):
            self.train([parts[name] for name in longest_first], plan, context)
        return True

    def make_plan(
        self,
        manifests: list[Manifest],
        params: Parameters,
        vocab_size: int,
        done: Mapping[str, int],
    ) -> Plan:
        """As :func:`ergokedro.training.cost_estimate.make_plan`, for this machine."""
        from ergokedro.training.cost_estimate import make_plan

        return make_plan(manifests, params, vocab_size, done)

    def train(self, parts: list[Pipeline], plan: Plan, context: RunContext) -> None:
        """Run all parts in this order, as many at a time as the plan says."""
        side_by_side(context.run, parts, plan.machine.parallel_runs)


def _check_processes(params: Parameters) -> None:
    """Refuse several processes per run, which only Ray starts."""
    if params.training.processes > 1 and not params.plan:
        raise ErgokedroError(
            f"training.processes = {params.training.processes}: they are started by Ray. Add "
            "`--runner ergokedro.runtime.RayRunner` to the command, after pip install "
            "'ergokedro[ray]'."
        )


def _divide(pipeline: Pipeline) -> tuple[Pipeline, Pipeline, Pipeline]:
    """Divide a pipeline into the nodes that the sweep needs, the sweep, and the rest."""
    sweep = [node for node in pipeline.nodes if node.namespace]
    needed = pipeline.to_nodes(*(node.name for node in sweep)).nodes if sweep else []
    before = [node for node in needed if not node.namespace]
    after = [node for node in pipeline.nodes if node not in set(needed)]
    return Pipeline(before), Pipeline(sweep), Pipeline(after)


def _by_namespace(sweep: Pipeline) -> dict[str, Pipeline]:
    """The nodes of each namespace."""
    nodes: dict[str, list[Node]] = {}
    for node in sweep.nodes:
        nodes.setdefault(str(node.namespace), []).append(node)
    return {name: Pipeline(each) for name, each in nodes.items()}


def side_by_side(run: Callable[[Pipeline], None], parts: list[Pipeline], at_once: int) -> None:
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
            progress.stop()  # in this thread, before it starts another part
            raise

    try:
        with ThreadPoolExecutor(at_once) as pool:
            try:
                for future in as_completed([pool.submit(guarded, part) for part in parts]):
                    with suppress(progress.Stopped):  # because another part has failed
                        future.result()
            except BaseException:
                progress.stop()
                raise
        if progress.is_stopped():  # by a signal
            raise progress.Stopped
    finally:
        progress.resume()
