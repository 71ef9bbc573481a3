"""MLflow: one parent run per `kedro run`, one child per run of the sweep, under stable names.

Nothing waits for the store: calls are put into a queue, and a thread of its own makes them, with
explicit run ids rather than MLflow's global active run, so that several children can be open at
once. Tracking never stops an experiment: its first failure is reported once, and the rest of the
command is not tracked.
"""

from __future__ import annotations

import logging
import queue
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ergokedro.errors import ErgokedroError
from ergokedro.runtime.mlflow_models import log_transformers_model
from ergokedro.runtime.mlflow_store import metric_name, open_store, runs_page, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    from ergokedro.runtime.locks import Command
    from ergokedro.training.curves import Measurement

log = logging.getLogger(__name__)

# MLflow's own limits for one call.
_PARAMS_PER_CALL = 100
_METRICS_PER_CALL = 1000
# Calls that may wait; more are dropped.
_QUEUED = 5000
_LAST_CALL = "close_all"
_REMARK = "(raised as a result of"  # SQLAlchemy says this to programmers, before the error itself
# The end of a command waits so long for the queue, in all. A local file is slow at most, and fails
# where another program has locked it; a server may never answer, or take a second for every call.
_PATIENCE_SECONDS = {"file": 30.0, "server": 5.0}
_MODEL_SECONDS = 600.0  # instead, where models are logged
# MLflow's table of runs shows children of this type at once; others wait for a click on the parent.
_PARENT = "mlflow.parentRunId"
_CHILD = {"mlflow.runType": "evaluation"}
# Libraries whose warnings and tracebacks would repeat what is reported here once.
_NOISY = ("mlflow", "alembic", "sqlalchemy", "urllib3.connectionpool")


class Tracker:
    """The runs of one `kedro run` in an MLflow store.

    Each thread has a current run of its own, so that runs can be trained side by side.

    Parameters
    ----------
    uri : tracking URI.
    experiment : MLflow experiment, made if it is missing.
    models : whether models will be logged.
    """

    def __init__(self, uri: str, experiment: str, models: bool = False):
        import mlflow.tracking  # noqa: F401  # in this thread, which imports other libraries, too

        if models:
            import mlflow.transformers  # noqa: F401
            from transformers import pipeline  # noqa: F401

        for name in _NOISY:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.broken = False
        self._patience = _PATIENCE_SECONDS["server" if sqlite_file(uri) is None else "file"]
        if models:  # they were asked for, and may be large
            self._patience = _MODEL_SECONDS
        self._runs = _Runs(uri, experiment)
        self._current = threading.local()
        self._open = True
        self._calls: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue(_QUEUED)
        self._dropped = False
        self._worker = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._worker.start()

    def start(self, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        """Open the parent run."""
        now = _milliseconds()
        self.call("open", None, name, tags, now)
        self.call("log_params", None, params)

    def close_killed(self, command: Command) -> None:
        """Close the runs that earlier commands of the project left open when they were killed."""
        self.call("close_killed", command)

    def monitor_system(self, seconds: float = 10) -> None:
        """Log use of processors, memory, disk and network to the parent run, every so many
        seconds."""
        self.call("monitor_system", seconds)

    def enter(self, name: str) -> None:
        """Make the child `name` the current run of this thread, opening it at its first use."""
        now = _milliseconds()
        self.call("open", name, name, {}, now)
        self._current.run = name

    def leave(self) -> None:
        """Make the parent the current run of this thread."""
        self._current.run = None

    def log_params(self, params: dict[str, Any]) -> None:
        """Log parameters of the current run, a flat dictionary."""
        run = self._run
        self.call("log_params", run, params)

    def log_metrics(self, metrics: dict[str, float]) -> None:
        """Log final metrics of the current run."""
        self._log_points([(name, value, 0) for name, value in metrics.items()])

    def log_measurements(self, measurements: list[Measurement]) -> None:
        """Log points of training curves of the current run, by optimizer step."""
        self._log_points(
            [(metric_name(m.metric, m.component), m.value, m.step) for m in measurements]
        )

    def tag(self, name: str, value: str) -> None:
        """Set a tag of the current run."""
        self.call("tag", self._run, name, value)

    def log_json(self, file: str, content: dict[str, Any]) -> None:
        """Log `content` as a JSON artifact of the current run."""
        run = self._run
        self.call("log_json", run, file, content)

    def log_file(self, path: Path) -> None:
        """Log a file as an artifact of the current run."""
        run = self._run
        self.call("log_file", run, path)

    def log_model(self, folder: Path) -> None:
        """Log the model of the current run, a directory that transformers reads."""
        run = self._run
        self.call("log_model", run, folder)

    def complete(self) -> None:
        """Close the current child as FINISHED: nothing more will be logged to it."""
        run, now = self._run, _milliseconds()
        self.call("close", run, "FINISHED", now)

    def finish(self, status: str) -> None:
        """Close all runs with FINISHED, FAILED or KILLED, and wait a little for the store.

        A second call does nothing.
        """
        if not self._open:
            return
        self._open = False
        now, deadline = _milliseconds(), time.monotonic() + self._patience
        with suppress(queue.Full):
            self._calls.put((_LAST_CALL, (status, now)), timeout=self._patience)
        self._current = threading.local()
        self._wait(deadline)

    @property
    def page(self) -> str | None:
        """Address of the table of runs in MLflow's page; None if the store failed."""
        return None if self.broken else self._runs.page

    @property
    def _run(self) -> str | None:
        run: str | None = getattr(self._current, "run", None)
        return run

    def _log_points(self, points: list[tuple[str, float, int]]) -> None:
        run, now = self._run, _milliseconds()
        self.call("log_points", run, points, now)

    def call(self, method: str, *arguments: Any) -> None:
        """Queue a call of a method of the runs, or drop it if the store does not keep up.

        Calls are data, so that another process can send what it would log: see
        :class:`ergokedro.runtime.ray_worker.ForwardedTracker`.
        """
        if self.broken or not self._open:
            return
        try:
            self._calls.put_nowait((method, arguments))
        except queue.Full:
            if not self._dropped:
                self._dropped = True
                log.warning("MLflow does not keep up: some of what it should track is left out.")

    def _work(self) -> None:
        """Make the queued calls in order, until all runs are closed; after a failure, drop them."""
        method = ""
        while method != _LAST_CALL:
            method, arguments = self._calls.get()
            try:
                if not self.broken:
                    getattr(self._runs, method)(*arguments)
            except Exception as error:  # whatever a store or a network can raise
                self._give_up(error)
            self._calls.task_done()

    def _give_up(self, error: Exception | str) -> None:
        if not self.broken:
            self.broken = True
            message = error.message if isinstance(error, ErgokedroError) else str(error)
            lines = [line for line in message.splitlines() if not line.startswith(_REMARK)]
            log.warning(
                "MLflow tracking stopped (%s); the experiment continues without it.",
                (lines or [type(error).__name__])[0][:400],
            )

    def _wait(self, deadline: float) -> None:
        """Wait until the queue is empty, but no longer than until `deadline`."""
        while (left := self._calls.unfinished_tasks) and not self.broken:
            if time.monotonic() > deadline:
                self._give_up(f"the store is too slow: the last {left:,} entries are lost")
            time.sleep(0.02)


class _Runs:
    """MLflow runs by name, None being the parent; for the tracker's thread alone."""

    def __init__(self, uri: str, experiment: str):
        self._uri, self._experiment_name = uri, experiment
        self._opened: tuple[MlflowClient, str] | None = None
        self._ids: dict[str | None, str] = {}
        self._closed: set[str | None] = set()
        self._monitor: SystemMetricsMonitor | None = None

    @property
    def _client(self) -> MlflowClient:
        if self._opened is None:
            self._opened = open_store(self._uri, self._experiment_name)
        return self._opened[0]

    @property
    def page(self) -> str | None:
        return runs_page(self._uri, self._opened[1]) if self._opened else None

    def open(self, run: str | None, name: str, tags: dict[str, str], time: int) -> None:
        """Create the run, unless it is open."""
        if run in self._ids and run not in self._closed:
            return
        client = self._client
        assert self._opened is not None
        if run is not None:
            tags = {**tags, **_CHILD, _PARENT: self._ids[None]}
        created = client.create_run(self._opened[1], start_time=time, tags=tags, run_name=name)
        self._ids[run] = created.info.run_id
        self._closed.discard(run)

    def log_params(self, run: str | None, params: dict[str, Any]) -> None:
        from mlflow.entities import Param

        entries = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(entries), _PARAMS_PER_CALL):
            part = entries[start : start + _PARAMS_PER_CALL]
            self._client.log_batch(self._ids[run], params=part)

    def log_points(self, run: str | None, points: list[tuple[str, float, int]], time: int) -> None:
        from mlflow.entities import Metric

        entries = [Metric(name, value, time, step) for name, value, step in points]
        for start in range(0, len(entries), _METRICS_PER_CALL):
            part = entries[start : start + _METRICS_PER_CALL]
            self._client.log_batch(self._ids[run], metrics=part)

    def tag(self, run: str | None, name: str, value: str) -> None:
        self._client.set_tag(self._ids[run], name, value)

    def log_json(self, run: str | None, file: str, content: dict[str, Any]) -> None:
        self._client.log_dict(self._ids[run], content, file)

    def log_file(self, run: str | None, path: Path) -> None:
        self._client.log_artifact(self._ids[run], str(path))

    def log_model(self, run: str | None, folder: Path) -> None:
        assert self._opened is not None
        log_transformers_model(*self._opened, self._ids[run], folder)

    def monitor_system(self, seconds: float) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitor = SystemMetricsMonitor(
            self._ids[None], sampling_interval=seconds, tracking_uri=self._uri
        )
        self._monitor.start()

    def close_killed(self, command: Command) -> None:
        client = self._client
        assert self._opened is not None
        running = client.search_runs([self._opened[1]], "attributes.status = 'RUNNING'")
        killed = {run.info.run_id for run in running if command.has_outlived(run.data.tags)}
        for run in running:
            if killed & {run.info.run_id, run.data.tags.get(_PARENT)}:
                client.set_terminated(run.info.run_id, "KILLED")
                log.info("MLflow: %s was left open by a killed command", run.info.run_name)

    def close(self, run: str | None, status: str, time: int) -> None:
        self._client.set_terminated(self._ids[run], status, end_time=time)
        self._closed.add(run)

    def close_all(self, status: str, time: int) -> None:
        """Close what is open, the parent last."""
        if self._monitor is not None:
            self._monitor.finish()
        for run in [*(name for name in self._ids if name is not None), None]:
            if run in self._ids and run not in self._closed:
                self.close(run, status, time)


_active: Tracker | None = None


def activate(tracker: Tracker | None) -> None:
    """Make `tracker` the target of :func:`log_measurements` in this process."""
    global _active
    _active = tracker


def active() -> Tracker | None:
    """What :func:`activate` was given."""
    return _active


def log_measurements(measurements: list[Measurement]) -> None:
    """Send points of training curves to the current run, if this process tracks one."""
    if _active is not None:
        _active.log_measurements(measurements)


def tag(name: str, value: str) -> None:
    """Give the current run a tag, if this process tracks one."""
    if _active is not None:
        _active.tag(name, value)


_known_commit: str | None = None


def know_commit(commit: str) -> None:
    """Set what :func:`git_commit` gives in this process, which has not the project's folder."""
    global _known_commit
    _known_commit = commit


def git_commit(project: Path) -> str:
    """The project's commit, with '+changes' if the work tree differs; 'unknown' without git."""
    if _known_commit is not None:
        return _known_commit
    try:
        run = ["git", "-C", str(project)]
        commit = subprocess.check_output([*run, "rev-parse", "HEAD"], stderr=subprocess.DEVNULL)
        status = subprocess.check_output([*run, "status", "--porcelain"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.decode("ascii").strip() + ("+changes" if status.strip() else "")


def _milliseconds() -> int:
    return int(time.time() * 1000)
