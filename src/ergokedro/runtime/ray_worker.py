"""What a Ray worker does: it trains and evaluates one run, and reports to the driver.

Progress, log records and calls to MLflow are collected by an actor, from which the driver fetches
them. The answer to every report says whether the run shall end.
"""

from __future__ import annotations

import gc
import logging
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import QueueHandler
from typing import Any, TypeVar

from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner import SequentialRunner
from pluggy import PluginManager

from ergokedro import progress
from ergokedro.errors import ErgokedroError
from ergokedro.registry import load_plugins
from ergokedro.runtime import tracking
from ergokedro.runtime.failures import MachineError, plain_error
from ergokedro.runtime.hooks import log_node

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Seconds between reports to the driver, and between looks for new checkpoints.
_REPORT_PAUSE, _UPLOAD_PAUSE = 0.5, 2.0


@dataclass(frozen=True)
class Started:
    """Message: a worker begins with a run, perhaps after another worker has died."""

    node: str


@dataclass(frozen=True)
class Call:
    """Message: a call of :meth:`ergokedro.runtime.tracking.Tracker.call`."""

    method: str
    arguments: tuple[Any, ...]


Message = Started | Call | progress.Report | logging.LogRecord


@dataclass(frozen=True)
class Failure:
    """Why a run has failed.

    Attributes
    ----------
    node : id of the node if the fault is that machine's, so that another one can do it.
    """

    message: str
    node: str | None


class Mailbox:
    """An actor that holds what workers report until the driver fetches it."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, list[Message]]] = []
        self._stopped = False
        self._unfit: set[str] = set()

    def report(self, run: str, node: str, messages: list[Message]) -> bool:
        """Leave messages about a run on a node; give whether the run shall end."""
        if messages:
            self._messages.append((run, messages))
        return self._stopped or node in self._unfit

    def fetch(self) -> list[tuple[str, list[Message]]]:
        """All messages since the last call, by run, in their order."""
        messages, self._messages = self._messages, []
        return messages

    def stop(self) -> None:
        """Let all runs end at their next report."""
        self._stopped = True

    def avoid(self, node: str) -> None:
        """Let the runs of this node end at their next report."""
        self._unfit.add(node)


@dataclass(frozen=True)
class Driver:
    """What a worker knows of the command that it works for.

    Attributes
    ----------
    mailbox : handle of the actor.
    versions : of :func:`ergokedro.training.identity.versions`.
    plugins : as the setting `plugins`.
    tracks : whether MLflow is used.
    commit : git commit of the project.
    """

    mailbox: Any
    versions: dict[str, str]
    plugins: str
    tracks: bool
    commit: str


def run_namespace(name: str, work: bytes, driver: Driver) -> Failure | None:
    """Run the nodes of one namespace; a Ray task.

    Parameters
    ----------
    work : pickled list of nodes, and dataset of every name that they use. It is unpickled after the
        versions of the libraries have been compared.
    """
    import ray

    def run() -> None:
        nodes, catalog = unpack(work, driver)
        hooks = _create_hook_manager()
        if driver.tracks:
            _track(hooks, outbox, driver.commit)
        with _checkpoints(name, catalog):
            SequentialRunner().run(Pipeline(nodes), catalog, hooks)

    node = ray.get_runtime_context().get_node_id()
    with _reporting(name, node, driver.mailbox) as outbox:
        return attempt(run, node)


def unpack(work: bytes, driver: Driver) -> tuple[list[Node], DataCatalog]:
    """The nodes of a run and the catalog of their datasets, once this process can use them.

    Raises
    ------
    MachineError
        If this node has other code or libraries than the driver.
    """
    check_versions(driver.versions)
    load_plugins(driver.plugins)
    tracking.know_commit(driver.commit)
    nodes, datasets = pickle.loads(work)
    return nodes, DataCatalog(datasets)


def attempt(function: Callable[[], Result], node: str) -> Result | Failure:
    """Call a function; give its result, or why it failed, if that is no defect.

    Parameters
    ----------
    node : id of this node.
    """
    try:
        return function()
    except progress.Stopped:
        return Failure("stopped", node)
    except Exception as error:
        plain = plain_error(error)
        if plain is None:
            raise
        return Failure(plain.message, node if isinstance(plain, MachineError) else None)
    finally:
        _free_gpu_memory()


def _free_gpu_memory() -> None:
    """Leave to other processes on the GPU what this one, which stays, has cached."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


@contextmanager
def _checkpoints(name: str, catalog: DataCatalog) -> Iterator[None]:
    """In the block, only this process writes checkpoints of the run, and all nodes see them.

    Another one may be a worker that Ray has given up, and that has not ended yet.
    """
    from filelock import FileLock

    if f"{name}.checkpoints" not in catalog:
        yield
        return
    dataset: Any = catalog.get(f"{name}.checkpoints")
    folder = dataset.load()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if (remote := dataset.remote) is None:
            yield
            return
        remote.pull()
        with _repeatedly(remote.push, _UPLOAD_PAUSE):
            yield


@contextmanager
def _repeatedly(function: Callable[[], None], seconds: float) -> Iterator[None]:
    """In the block, a thread calls `function` so often; afterwards it is called once more."""
    finished = threading.Event()

    def repeat() -> None:
        while not finished.wait(seconds):
            try:
                function()
            except Exception as error:  # of a network; the last call raises it
                log.warning("%s: tried again in %g s", error, seconds)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
        function()


def check_versions(drivers: dict[str, str]) -> None:
    """Refuse to compute with other code or libraries than the driver has.

    Raises
    ------
    MachineError
        That names what differs.
    """
    from ergokedro.training.identity import versions

    ours = versions()
    different = [
        f"{'code of ergokedro' if name == 'code' else name} {ours.get(name)} instead of {version}"
        for name, version in drivers.items()
        if ours.get(name) != version
    ]
    if different:
        raise MachineError(
            f"This node has {', '.join(different)}. Install there what the driver has."
        )


class Outbox:
    """Sends messages to the mailbox, together and seldom; steps may take a millisecond."""

    def __init__(self, run: str, node: str, mailbox: Any):
        self._run, self._node, self._mailbox = run, node, mailbox
        self._messages: list[Message] = []
        self._lock = threading.Lock()

    def put_nowait(self, message: Message) -> None:
        """Add a message; progress is added up."""
        with self._lock:
            last = self._messages[-1] if self._messages else None
            match last, message:
                case progress.Advanced(name, before, shown), progress.Advanced(
                    same, more, fields
                ) if name == same:
                    message = progress.Advanced(name, before + more, {**shown, **fields})
                    self._messages[-1] = message
                case _:
                    self._messages.append(message)

    def flush(self) -> None:
        """Send what there is; if the run shall end, stop it."""
        import ray

        with self._lock:
            messages, self._messages = self._messages, []
        if ray.get(self._mailbox.report.remote(self._run, self._node, messages)):
            progress.stop()


@contextmanager
def _reporting(name: str, node: str, mailbox: Any) -> Iterator[Outbox]:
    """In the block, progress and logs of this process go to the driver."""
    outbox = Outbox(name, node, mailbox)
    outbox.put_nowait(Started(node))
    outbox.flush()
    package, handler = logging.getLogger("ergokedro"), QueueHandler(outbox)  # type: ignore[arg-type]
    package.propagate, package.handlers = False, [handler]
    package.setLevel(logging.INFO)
    progress.forward(outbox.put_nowait)
    try:
        with _repeatedly(outbox.flush, _REPORT_PAUSE):
            yield outbox
    finally:
        progress.forward(None)
        progress.resume()


class ForwardedTracker(tracking.Tracker):
    """Sends to the driver what it would log."""

    def __init__(self, outbox: Outbox):
        self._outbox = outbox
        self._current = threading.local()

    def call(self, method: str, *arguments: Any) -> None:
        """Send the call."""
        self._outbox.put_nowait(Call(method, arguments))


class _TrackingHooks:
    """What :class:`ergokedro.runtime.hooks.ProjectHooks` does around the nodes of a run."""

    def __init__(self, tracker: ForwardedTracker, commit: str):
        self._tracker, self._commit = tracker, commit

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Nodes in a namespace belong to the child run of its name."""
        self._tracker.enter(str(node.namespace))

    @hook_impl
    def after_node_run(self, node: Node, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """Log what the node received and made."""
        log_node(self._tracker, node, {**inputs, **outputs, "git_commit": self._commit})


def _track(hooks: PluginManager, outbox: Outbox, commit: str) -> None:
    tracker = ForwardedTracker(outbox)
    tracking.activate(tracker)
    hooks.register(_TrackingHooks(tracker, commit))


def measured_plan(*arguments: Any) -> Any:
    """As :func:`ergokedro.training.cost_estimate.make_plan`, measured; a Ray task."""
    from dataclasses import replace

    from ergokedro.training.cost_estimate import make_plan

    try:
        plan = make_plan(*arguments)
        return replace(plan, measured=plan.probe) if plan.unfinished else plan
    except ErgokedroError as error:
        return Failure(error.message, None)
