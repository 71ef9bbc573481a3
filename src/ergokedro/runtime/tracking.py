"""MLflow: one parent run per `kedro run`, one child per K, under stable names.

Uses the client with explicit run ids rather than MLflow's global active run, so that several
children can be open at once. Tracking never stops an experiment: its first failure is reported
once, and the rest of the run goes untracked.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    from ergokedro.training.curves import Measurement

log = logging.getLogger(__name__)
P = ParamSpec("P")

# MLflow's own limits for one call.
_PARAMS_A_CALL = 100
_METRICS_A_CALL = 1000


def _never_raises(method: Callable[P, None]) -> Callable[P, None]:
    @wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        tracker: Any = args[0]
        with tracker.lock:
            if tracker.broken:
                return
            try:
                method(*args, **kwargs)
            except Exception as error:  # whatever a store or a network can raise
                tracker.broken = True
                log.warning(
                    "MLflow tracking stopped (%s); the experiment goes on without it.", error
                )

    return guarded


def _check_database(uri: str) -> None:
    """Fail at once where an SQLite file cannot be opened; MLflow tries for two minutes."""
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        sqlite3.connect(path).close()


class Tracker:
    """The runs of one `kedro run` in an MLflow store.

    Each thread has a current run of its own, so that runs can be trained side by side.

    Parameters
    ----------
    uri : tracking URI.
    experiment : MLflow experiment, made if it is missing.
    artifacts : folder for artifacts of a new experiment in a local store, or None for the
        server's choice.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path | None):
        self.broken = False
        self.lock = threading.RLock()
        self._client: MlflowClient | None = None
        self._parent: str | None = None
        self._children: dict[str, str] = {}
        self._current = threading.local()
        self._experiment = ""
        self._uri = uri
        self._monitor: SystemMetricsMonitor | None = None
        self._connect(uri, experiment, artifacts)

    @_never_raises
    def _connect(self, uri: str, experiment: str, artifacts: Path | None) -> None:
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # the migration of a fresh store logs every step
            logging.getLogger(name).setLevel(logging.WARNING)
        _check_database(uri)
        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(experiment)
        location = artifacts.as_uri() if artifacts else None
        self._experiment = (
            found.experiment_id if found else self._client.create_experiment(experiment, location)
        )

    @_never_raises
    def start(self, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        """Open the parent run."""
        self._parent = self._create(name, tags)
        self._log_params(self._parent, params)

    @_never_raises
    def monitor_system(self, seconds: float = 10) -> None:
        """Log use of processors, memory, disk and network to the parent run, so often."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        assert self._parent is not None
        self._monitor = SystemMetricsMonitor(
            self._parent, sampling_interval=seconds, tracking_uri=self._uri
        )
        self._monitor.start()

    @_never_raises
    def enter(self, name: str) -> None:
        """Make the child `name` the current run, opening it at its first use."""
        if name not in self._children:
            assert self._parent is not None
            tags = {"mlflow.parentRunId": self._parent}
            self._children[name] = self._create(name, tags)
        self._current.run = self._children[name]

    def leave(self) -> None:
        """Make the parent the current run."""
        self._current.run = self._parent

    @_never_raises
    def log_params(self, params: dict[str, Any]) -> None:
        """Parameters of the current run, flat."""
        self._log_params(self._run, params)

    @_never_raises
    def log_metrics(self, metrics: dict[str, float]) -> None:
        """Final metrics of the current run."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._log_batch([Metric(name, value, now, 0) for name, value in metrics.items()])

    @_never_raises
    def log_measurements(self, measurements: list[Measurement]) -> None:
        """Points of curves of the current run, in one call; the step is the optimizer's."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._log_batch(
            [Metric(metric_name(m.metric, m.component), m.value, now, m.step) for m in measurements]
        )

    @_never_raises
    def log_json(self, file: str, content: dict[str, Any]) -> None:
        """A JSON artifact of the current run."""
        assert self._client is not None
        self._client.log_dict(self._run, content, file)

    @_never_raises
    def log_file(self, path: Path) -> None:
        """A file as an artifact of the current run."""
        assert self._client is not None
        self._client.log_artifact(self._run, str(path))

    @_never_raises
    def complete(self) -> None:
        """Close the current child as FINISHED: nothing more will be logged to it."""
        assert self._client is not None
        self._client.set_terminated(self._run, "FINISHED")
        self._children = {n: run for n, run in self._children.items() if run != self._run}

    @_never_raises
    def finish(self, status: str) -> None:
        """Close all runs with FINISHED, FAILED or KILLED; a second call does nothing."""
        assert self._client is not None
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
        for run in [*self._children.values(), *([self._parent] if self._parent else [])]:
            self._client.set_terminated(run, status)
        self._children, self._parent = {}, None
        self._current = threading.local()

    @property
    def _run(self) -> str:
        return str(self._current.run)

    def _create(self, name: str, tags: dict[str, str]) -> str:
        assert self._client is not None
        return str(self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id)

    def _log_params(self, run: str, params: dict[str, Any]) -> None:
        from mlflow.entities import Param

        assert self._client is not None
        entries = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(entries), _PARAMS_A_CALL):
            self._client.log_batch(run, params=entries[start : start + _PARAMS_A_CALL])

    def _log_batch(self, metrics: list[Any]) -> None:
        assert self._client is not None
        for start in range(0, len(metrics), _METRICS_A_CALL):
            self._client.log_batch(self._run, metrics=metrics[start : start + _METRICS_A_CALL])


_active: Tracker | None = None


def activate(tracker: Tracker | None) -> None:
    """Make `tracker` the target of :func:`log_measurements` in this process."""
    global _active
    _active = tracker


def log_measurements(measurements: list[Measurement]) -> None:
    """Send points of training curves to the current run, if this process tracks one."""
    if _active is not None:
        _active.log_measurements(measurements)


def metric_name(metric: str, component: str) -> str:
    """`validation_xe/cs.DS`: a name that MLflow accepts and groups by metric."""
    clean = "".join(c if c.isalnum() or c in "_-. " else "_" for c in component)
    return f"{metric}/{clean}" if component else metric


def tracking_uri(configured: str | None, project: Path) -> str:
    """MLFLOW_TRACKING_URI, else the configured URI, else `mlflow.db` in the project's root.

    A relative SQLite path is taken from the project's root, wherever the command is typed.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or configured or "sqlite:///mlflow.db"
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/"):
        return prefix + str(project.resolve() / uri.removeprefix(prefix))
    return uri


def git_commit(project: Path) -> str:
    """The project's commit, with '+changes' if the work tree differs; 'unknown' without git."""
    try:
        run = ["git", "-C", str(project)]
        commit = subprocess.check_output([*run, "rev-parse", "HEAD"], stderr=subprocess.DEVNULL)
        status = subprocess.check_output([*run, "status", "--porcelain"], stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.decode().strip() + ("+changes" if status.strip() else "")
