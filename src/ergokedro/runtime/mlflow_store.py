"""The MLflow store: which one, its SQLite file, where artifacts are kept, and names in it."""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from urllib.request import url2pathname

from ergokedro.errors import ErgokedroError
from ergokedro.files import fingerprint

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_SQLITE = "sqlite:///"
_LOCK_SECONDS = 120  # for another process that creates the database
_BUSY_SECONDS = 5.0  # for another process that writes to it
_LONGEST_NAME = 250  # MLflow's own limit
# The name of the mean over all components, as in `test_xe/all`.
MEAN = "all"
# A view of the table of runs, in the form in which MLflow's page saves one.
_VIEW = "runs-by-k"
_COLUMNS = (
    *("params.`k`", "params.`components`", "params.`D`", "params.`seed`", "params.`model`"),
    *("metrics.`test_xe/all`", "metrics.`final_train_loss`", "tags.`reused`"),
)
UI_ADDRESS = "http://127.0.0.1:5000"  # of `mlflow ui` without options


def tracking_uri(configured: str | None, project: Path) -> str:
    """MLFLOW_TRACKING_URI, else the configured URI, else `mlflow.db` in the project's root.

    A relative SQLite path starts at the project's root, wherever the command is typed.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or configured
    if not uri:
        return sqlite_uri(project.resolve() / "mlflow.db")
    file = sqlite_file(uri)
    return sqlite_uri(project.resolve() / file) if file and not file.is_absolute() else uri


def sqlite_uri(file: Path) -> str:
    """The URI of an SQLite file, with quoted characters only where they would be misread."""
    plain = _SQLITE + str(file)
    if sqlite_file(plain) == file:
        return plain
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(file)).render_as_string()


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URI; None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    from sqlalchemy.engine import make_url

    return Path(make_url(uri).database or "")


def open_store(uri: str, experiment: str) -> tuple[MlflowClient, str]:
    """A client for the store and the id of the experiment, both made if they are missing.

    Raises
    ------
    ErgokedroError
        If the store is an SQLite file that cannot be used, with what to do about it.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    file = sqlite_file(uri)
    if file is not None:
        _make_database(file)
        _check_database(file)
    client = _client(uri)
    assert isinstance(client, MlflowClient)
    location = (file.parent / "mlruns").as_uri() if file else None
    known = client.get_experiment_by_name(experiment)
    if known is None:
        with suppress(MlflowException):  # another process was faster
            client.create_experiment(experiment, location)
        known = client.get_experiment_by_name(experiment)
        assert known is not None
    if file is not None and known.artifact_location != location:
        _move_artifacts(file, known.experiment_id, known.artifact_location, str(location))
    for tag, value in _experiment_tags().items():
        if tag not in known.tags:  # somebody may have chosen another one
            client.set_experiment_tag(known.experiment_id, tag, value)
    return client, str(known.experiment_id)


def _experiment_tags() -> dict[str, str]:
    """What makes MLflow's page show an experiment as model training, and a view for its "Views"."""
    state = {
        "searchFilter": "tags.`mlflow.runType` = 'evaluation'",
        "orderByKey": "params.`k`",
        "orderByAsc": True,
        "selectedColumns": _COLUMNS,
        "columnOrder": _COLUMNS,
    }
    view = {"name": "Runs by K", "createdAt": 0, "state": json.dumps(state)}
    return {
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{_VIEW}": json.dumps(view),
    }


def runs_page(uri: str, experiment: str) -> str:
    """Address of the table of runs in MLflow's page, with the columns of the view.

    Parameters
    ----------
    uri : tracking URI; `mlflow ui` shows one that is no server's.
    experiment : id.
    """
    server = uri.rstrip("/") if uri.startswith(("http://", "https://")) else UI_ADDRESS
    query = f"workflowType=machine_learning&viewStateShareKey={_VIEW}"
    return f"{server}/#/experiments/{experiment}/runs?{query}"


def _client(uri: str) -> MlflowClient:
    """A client, without the folder that MLflow makes for a quoted path as if it were none."""
    from mlflow import MlflowClient

    literal = Path(uri.removeprefix(_SQLITE)).parent
    stray = sqlite_file(uri) is not None and not literal.exists()
    client = MlflowClient(tracking_uri=uri)
    if stray:
        with suppress(OSError):
            os.removedirs(literal)  # of the empty ones alone
    return client


def _make_database(file: Path) -> None:
    """Create the database if it is missing, in one step: two processes at once would break it."""
    if _has_content(file):
        return
    from filelock import FileLock

    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.with_name(file.name + ".lock")
    with FileLock(lock, timeout=_LOCK_SECONDS):
        if not _has_content(file):
            partial = file.with_name(file.name + ".partial")
            try:
                _client(sqlite_uri(partial)).search_experiments(max_results=1)
                partial.replace(file)
            finally:
                partial.unlink(missing_ok=True)
    lock.unlink(missing_ok=True)


def _has_content(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _check_database(file: Path) -> None:
    """Fail at once where MLflow would retry for minutes, or break the database further."""
    try:
        with closing(_connect(file)) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
            if not {"experiments", "runs", "alembic_version"} <= tables or any(
                name.startswith("_alembic_tmp_") for name in tables
            ):
                raise ErgokedroError(f"{file} is no complete MLflow database. {_remedy(file)}")
            database.execute("UPDATE alembic_version SET version_num = version_num")
            database.rollback()  # it was to find out whether anything can be written
    except sqlite3.DatabaseError as error:
        raise ErgokedroError(f"{file}: {error}. {_remedy(file, error)}") from error


def _connect(file: Path) -> sqlite3.Connection:
    """Open an existing database; wait a little for a lock."""
    return sqlite3.connect(f"file:{quote(str(file))}?mode=rw", timeout=_BUSY_SECONDS, uri=True)


def _remedy(file: Path, error: sqlite3.Error | None = None) -> str:
    code = getattr(error, "sqlite_errorname", "")
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "Another program has locked it; end that program."
    if code.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return "Make the file and its folder writable, or set tracking_uri in tracking.yml."
    if code.startswith("SQLITE_FULL"):
        return "Free some disk space."
    return f"Move it away: `mv {file} {file.name}.broken`; the next run makes a new one."


def _move_artifacts(file: Path, experiment: str, old: str, new: str) -> None:
    """After the database was moved or copied, keep artifacts beside it and not at its old place.

    An artifact folder elsewhere, which somebody has chosen, stays. MLflow has no call for this.
    """
    if not (old.startswith("file:") and old.endswith("/mlruns")):
        return
    folders = [Path(url2pathname(uri.removeprefix("file://"))) for uri in (old, new)]
    moved = not folders[0].exists() or folders[1].exists()
    with closing(_connect(file)) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (new, experiment),
        )
        if moved:  # earlier runs, too
            database.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
                "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
                (new, len(old) + 1, experiment, len(old) + 1, old + "/"),
            )
    log.info("%s was moved: MLflow's artifacts are now kept in %s", file, folders[1])


def metric_name(metric: str, component: str | None) -> str:
    """A name that MLflow accepts and groups by metric: 'validation_xe/cs.DS'.

    Characters that MLflow refuses become _xHHHH_, as in XML names, so that different components
    keep different names: C# is C_x0023_.

    Parameters
    ----------
    component : name of a category; MEAN in a name of one is set apart from the mean; None: the
        mean over all components; '': a metric without components.
    """
    if component is None:
        return f"{metric}/{MEAN}"
    if not component:
        return metric
    escaped = re.sub(r"_(?=x)|[^\w.\- ]", lambda match: _escape(match[0]), component)
    if escaped in (MEAN, ".", ".."):
        escaped = _escape(escaped[0]) + escaped[1:]
    name = f"{metric}/{escaped}"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 9]}_{fingerprint(component)[:8]}"


def _escape(character: str) -> str:
    return f"_x{ord(character):04X}_"
