"""`kedro run --runner ergokedro.runtime.RayRunner`: Ray trains the runs of the sweep.

A task is the namespace of one run. Ray decides where it runs, and starts it again where a process
or a node has died; it then resumes from its last checkpoint.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from ergokedro import progress
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import Parameters
from ergokedro.registry import loaded_plugins
from ergokedro.runtime import ray_group, ray_worker, tracking
from ergokedro.runtime.config_loader import project_folder
from ergokedro.runtime.ray_cluster import (
    by_resource,
    connected,
    describe_node,
    room,
    runs_at_once,
    task_options,
    wants_gpu,
)
from ergokedro.runtime.ray_tasks import map_on_cluster
from ergokedro.runtime.sweep import RunContext, SweepRunner

if TYPE_CHECKING:
    from ergokedro.design.mixture import Manifest
    from ergokedro.training.cost_estimate import Plan

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
# How often a run is started without a new checkpoint: one that ends its process each time would be
# started for ever.
_ATTEMPTS = 10
# Points of curves are logged together, so often: a call of MLflow's client takes 16 to 100 ms.
_POINTS_SECONDS = 10.0


class RayRunner(SweepRunner):
    """Runs the namespaces of the sweep as Ray tasks, and all other nodes in this process.

    The token store is encoded as Ray tasks, too, where `corpus.processes` is above 1.

    Ray is that at RAY_ADDRESS, or is started on this machine.

    Raises
    ------
    ErgokedroError
        If Ray is not installed.
    """

    starts_processes = True

    def __init__(self, is_async: bool = False):
        if find_spec("ray") is None:
            raise ErgokedroError(
                "--runner ergokedro.runtime.RayRunner needs Ray: pip install 'ergokedro[ray]'"
            )
        super().__init__(is_async)

    def run(
        self, pipeline: Pipeline, catalog: CatalogProtocol, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """As of :class:`SweepRunner`."""
        if "token_store" in catalog:
            catalog.get("token_store").map_tasks = map_on_cluster
        return super().run(pipeline, catalog, *args, **kwargs)

    def run_sweep(self, sweep: Pipeline, context: RunContext) -> bool:
        """As of :class:`SweepRunner`, connected to Ray."""
        with connected():
            return super().run_sweep(sweep, context)

    def make_plan(
        self,
        manifests: list[Manifest],
        params: Parameters,
        vocab_size: int,
        done: Mapping[str, int],
    ) -> Plan:
        """The plan for the cluster, measured on one of its nodes."""
        import ray

        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        training = params.training
        if wants_gpu(training, resources):
            options: dict[str, float] = {"num_cpus": 1, "num_gpus": 1}
        else:
            if training.device == "auto":
                training = training.model_copy(update={"device": "cpu"})
            on_cpu = params.model_copy(update={"training": training})
            options = task_options(super().make_plan(manifests, on_cpu, vocab_size, done))
        task = ray.remote(**options)(ray_worker.measured_plan)
        plan = ray.get(task.remote(manifests, params, vocab_size, done))
        if isinstance(plan, ray_worker.Failure):
            raise ErgokedroError(plan.message)
        at_once = training.parallel_runs or runs_at_once(
            task_options(plan), resources, training.processes
        )
        return replace(plan, machine=replace(plan.machine, slots=at_once, parallel_runs=at_once))

    def train(self, parts: list[Pipeline], plan: Plan, context: RunContext) -> None:
        """Run all parts, submitted in this order."""
        at_once = plan.training.parallel_runs or len(parts)
        _Tasks(task_options(plan), plan.training.processes, context).run(parts, at_once)


@dataclass
class _Curves:
    """Points of one run's curves on their way to MLflow: none twice, and many in one call.

    Attributes
    ----------
    waiting : metric, value and step of each point.
    since : when the first of them came, by the monotonic clock.
    time : of the last one, milliseconds since 1970.
    """

    waiting: list[tuple[str, float, int]] = field(default_factory=list)
    since: float = 0.0
    time: int = 0
    _seen: set[tuple[str, int]] = field(default_factory=set)

    def add(self, points: list[tuple[str, float, int]], time_: int) -> None:
        """Add points, without those that an interrupted attempt has logged."""
        new = [point for point in points if (point[0], point[2]) not in self._seen]
        self._seen |= {(name, step) for name, _, step in new}
        if not self.waiting:
            self.since = time.monotonic()
        self.waiting = [*self.waiting, *new]
        self.time = time_


class _Tasks:
    """The tasks of a sweep, and what the driver does for them: show, record, end, start again.

    Parameters
    ----------
    options : of :func:`task_options`.
    processes : that train a run together.
    """

    def __init__(self, options: dict[str, float], processes: int, context: RunContext):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from ergokedro.training.identity import versions

        self._context = context
        # By default a process ends after one task on a GPU, and the next one must import and
        # compile everything again.
        remote = ray.remote(**options, max_retries=-1, max_calls=0)
        self._task = remote(ray_worker.run_namespace)
        # On the driver's node, so that the end of no other one ends it.
        node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        beside = ray.remote(num_cpus=0, scheduling_strategy=node)
        self._mailbox = beside(ray_worker.Mailbox).remote()
        self._options, self._processes = options, processes
        self._group = beside(ray_group.run_in_group).options(
            max_retries=-1, retry_exceptions=[ray_group.LostProcessError]
        )
        self._tracker = tracking.active()
        driver = ray_worker.Driver(
            self._mailbox,
            versions(),
            loaded_plugins(),
            tracks=self._tracker is not None,
            commit=tracking.git_commit(project_folder()),
        )
        self._driver = ray.put(driver)
        self._running: dict[Any, Pipeline] = {}
        self._attempts: Counter[str] = Counter()
        self._resumed: Counter[str] = Counter()  # tokens that checkpoints saved
        self._unfit: set[str] = set()
        self._reports = progress.Reports()
        self._curves: dict[str, _Curves] = {}
        self._ending = False
        self._error: BaseException | None = None

    def run(self, parts: list[Pipeline], at_once: int) -> None:
        """Run all parts, submitting no more than `at_once` at a time.

        Raises
        ------
        ErgokedroError
            If one fails; the others have then ended at their next step, as on one machine.
        Stopped
            If the command was cancelled.
        """
        import ray

        waiting = deque(parts)
        with closing(self._reports):
            while self._running or (waiting and not self._ending):
                while waiting and len(self._running) < at_once and not self._ending:
                    self._submit(waiting.popleft())
                if progress.is_stopped():
                    self._end()
                finished, _ = ray.wait(list(self._running), timeout=_POLL_SECONDS)
                for run, messages in ray.get(self._mailbox.fetch.remote()):
                    for message in messages:
                        self._receive(run, message)
                for run in self._curves:
                    self._log_points(run, after=_POINTS_SECONDS)
                for task in finished:
                    self._finish(task)
        if self._error is not None:
            raise self._error
        if progress.is_stopped():
            raise progress.Stopped

    def _submit(self, part: Pipeline) -> None:
        from ray import cloudpickle

        catalog = self._context.catalog
        # Datasets in an object store hold functions that plain pickle refuses.
        work = cloudpickle.dumps(
            (part.nodes, {name: catalog.get(name) for name in part.datasets()})
        )
        others = {"ray.io/node-id": f"!in({','.join(sorted(self._unfit))})"} if self._unfit else {}
        arguments = (_name(part), work, self._driver)
        if self._processes > 1 and f"{_name(part)}.model" in part.all_outputs():
            group = ray_group.Group(self._processes, by_resource(self._options), others)
            task = self._group.remote(*arguments, group)
        else:
            task = self._task.options(label_selector=others).remote(*arguments)
        self._running[task] = part

    def _receive(self, run: str, message: ray_worker.Message) -> None:
        match message:
            case ray_worker.Started(node):
                self._count_start(run, node)
            case ray_worker.Call():
                self._track(run, message)
            case progress.Began(name, done=done) if name == run and done > self._resumed[run]:
                self._resumed[run], self._attempts[run] = int(done), 1
                self._reports.show(message)
            case logging.LogRecord():
                logging.getLogger(message.name).handle(message)
            case _:
                with suppress(progress.Stopped):  # the workers are told otherwise
                    self._reports.show(message)

    def _count_start(self, run: str, node: str) -> None:
        self._attempts[run] += 1
        if self._attempts[run] == 1 or self._ending:
            return
        log.warning("%s was interrupted and starts again on %s", run, describe_node(node))
        if self._attempts[run] > _ATTEMPTS:
            self._fail(
                ErgokedroError(
                    f"{run} was started {_ATTEMPTS} times without a new checkpoint, and its "
                    "process or node ended each time. If memory was short, lower "
                    "training.micro_batch. The same command resumes from the last checkpoints."
                )
            )

    def _track(self, run: str, call: ray_worker.Call) -> None:
        """Pass a call on to MLflow; points of curves wait for others of the same run."""
        if self._tracker is None:
            return
        if call.method == "log_points":
            self._curves.setdefault(run, _Curves()).add(*call.arguments[1:])
            return
        self._log_points(run)
        self._tracker.call(call.method, *call.arguments)

    def _log_points(self, run: str, after: float = 0.0) -> None:
        """Log a run's points if the oldest has waited for so many seconds."""
        curves = self._curves.get(run)
        if self._tracker is None or curves is None or not curves.waiting:
            return
        if time.monotonic() - curves.since >= after:
            self._tracker.call("log_points", run, curves.waiting, curves.time)
            curves.waiting = []

    def _finish(self, task: Any) -> None:
        """What follows from the end of a task."""
        import ray

        part = self._running.pop(task)
        try:
            failure = ray.get(task)
        except ray.exceptions.TaskCancelledError:
            return
        except ray.exceptions.RayError as error:
            self._fail(error)
            return
        self._log_points(_name(part))
        self._curves.pop(_name(part), None)
        if failure is None:
            self._record(part)
        elif failure.node is None:
            self._fail(ErgokedroError(failure.message))
        elif not self._ending:
            self._avoid(failure)
            if not self._ending:
                self._attempts[_name(part)] = 0  # the warning has said why it starts again
                self._submit(part)

    def _record(self, part: Pipeline) -> None:
        """Tell the hooks of this process which datasets were saved by a worker."""
        if (hooks := self._context.hook_manager) is None:
            return
        for node in part.nodes:
            for name in node.outputs:
                hooks.hook.after_dataset_saved(dataset_name=name, data=None, node=node)

    def _avoid(self, failure: ray_worker.Failure) -> None:
        """Give a node no more runs; if the others have no room for one, fail."""
        import ray

        node = str(failure.node)
        if node in self._unfit:
            return
        self._unfit.add(node)
        self._mailbox.avoid.remote(node)
        log.warning("No more runs go to %s: %s", describe_node(node), failure.message)
        others = [n for n in ray.nodes() if n["Alive"] and n["NodeID"] not in self._unfit]
        if room(self._options, [n["Resources"] for n in others]) < self._processes:
            self._fail(ErgokedroError(failure.message))

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
        self._end()

    def _end(self) -> None:
        """Let running tasks end at their next step, and start no others."""
        import ray

        if self._ending:
            return
        self._ending = True
        progress.notice()  # checkpoints may be being written: wait for the tasks
        self._mailbox.stop.remote()
        for task, part in self._running.items():
            if not self._attempts[_name(part)]:
                ray.cancel(task)


def _name(part: Pipeline) -> str:
    """The namespace of all nodes of a part."""
    return str(part.nodes[0].namespace)
