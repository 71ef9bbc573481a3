"""New processes that need not import libraries: they are forked from one that has imported them.

Importing takes five seconds of processor time, which is most of what a short command takes. The
process that is forked has imported the libraries alone, nothing of Kedro or of this project.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from multiprocessing import reduction
from pathlib import Path
from typing import IO, Any

LIBRARIES = (
    "ergokedro",  # its settings for MLflow
    *("alembic.command", "datasets", "jinja2", "matplotlib.backends.backend_agg", "mlflow"),
    *("matplotlib.backends.backend_svg", "mlflow.store.tracking.sqlalchemy_store"),
    *("omegaconf", "pandas", "plotly.graph_objects", "pyarrow.parquet", "pydantic", "rich.logging"),
    *("s3fs", "scipy.optimize", "scipy.stats", "sqlalchemy.orm", "tokenizers", "torch"),
    *("torch._dynamo"),
)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(list(LIBRARIES))


class Command:
    """`python -m kedro` with some arguments, as `subprocess.Popen` would run it."""

    def __init__(self, arguments: Sequence[str], cwd: Path, env: dict[str, str]):
        reading, writing = os.pipe()
        self.stdout: IO[str] = os.fdopen(reading, encoding="utf-8")
        self._process = CONTEXT.Process(target=_Main(writing, list(arguments), cwd, env))
        self._process.start()
        os.close(writing)

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of `subprocess.Popen`."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        return self._process.exitcode

    def wait(self) -> int:
        """Until it has ended; give its exit status."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def communicate(self) -> tuple[str, None]:
        """What it prints until it ends."""
        with self.stdout:
            output = self.stdout.read()
        self.wait()
        return output, None

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.wait()

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


class _Main:
    """What the new process does; holds the file that it writes to."""

    def __init__(self, writing: int, arguments: list[str], cwd: Path, env: dict[str, str]):
        self.writing: Any = writing
        self.arguments, self.cwd, self.env = arguments, cwd, env

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"writing": reduction.DupFd(self.writing)}

    def __call__(self) -> None:
        file = self.writing.detach()
        for stream in (1, 2):
            os.dup2(file, stream)
        os.close(file)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", closefd=False)
        os.chdir(self.cwd)
        sys.path.insert(0, str(self.cwd))
        os.environ.clear()
        os.environ.update(self.env)
        sys.argv = ["kedro", *self.arguments]
        try:
            runpy.run_module("kedro", run_name="__main__", alter_sys=True)
        finally:
            atexit._run_exitfuncs()
