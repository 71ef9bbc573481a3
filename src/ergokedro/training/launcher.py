"""Data-parallel training of one run by several processes of this machine.

torch's elastic launcher starts them and ends all when one fails. They share the run's checkpoints:
every process reads them, the first one writes them, and the finished run is read from the last one.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from logging.handlers import QueueHandler
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CheckpointParameters
from ergokedro.progress import Stopped, is_stopped, progress_bar
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.device import choose_device
from ergokedro.training.distributed import Message, Rank
from ergokedro.training.trainer import Measurement, TrainingResult, train

_POLL_SECONDS = 0.2
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}


def train_in_processes(
    *arguments: Any,
    name: str,
    on_metrics: Callable[[list[Measurement]], None] = lambda measurements: None,
    checkpoints: Checkpoints | None = None,
    **settings: Any,
) -> TrainingResult:
    """As :func:`ergokedro.training.trainer.train`, by `params.processes` processes.

    Equal to one process up to the rounding of sums. A process holds its rows of every batch, the
    model and the optimizers; CPU threads are shared out between them.

    Raises
    ------
    ErgokedroError
        If a process fails; the others are ended.
    """
    windows, params = arguments[1:3]
    _check(params.processes, params.batch_size, params.device)
    steps = params.epochs * windows.steps_per_epoch(params.batch_size)
    with ExitStack() as stack:
        if checkpoints is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            # Beyond its last step none is due.
            schedule = CheckpointParameters(every=steps + 1)
            checkpoints = Checkpoints(folder, name, {}, schedule)
        checkpoints.start_over(steps)
        job = partial(train, *arguments, name=name, checkpoints=checkpoints, **settings)
        if checkpoints.finished(steps):
            return job(on_metrics=on_metrics)
        # They report failures at length, and that a thread gets no signals.
        with _quiet("torch.distributed.elastic", "torch.multiprocessing.spawn"):
            _Launch(name, params.processes, job, on_metrics).wait()
        with _quiet("ergokedro.training.checkpoint"):  # not 'finished already'
            return job()


def _check(processes: int, batch_size: int, device: str) -> None:
    """Refuse what would leave a process without work, or without a GPU."""
    if processes > batch_size:
        raise ErgokedroError(
            f"training.processes = {processes} is more than the training.batch_size of "
            f"{batch_size} windows; some would have nothing to do. Lower it."
        )
    if choose_device(device).type == "cuda" and processes > torch.cuda.device_count():
        raise ErgokedroError(
            f"training.processes = {processes}, but there are {torch.cuda.device_count()} GPUs; "
            "give each process one."
        )


class _Launch:
    """Processes that train, and what this one does for them: show, record, stop."""

    def __init__(
        self,
        name: str,
        processes: int,
        job: Callable[..., TrainingResult],
        on_metrics: Callable[[list[Measurement]], None],
    ):
        context = get_context("spawn")
        self._messages: queue.Queue[Message] = context.Queue()  # type: ignore[assignment]
        self._stop = context.Event()
        self._name, self._on_metrics = name, on_metrics
        self._errors: list[str] = []
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(processes, job), daemon=True)

    def wait(self) -> None:
        """Until all have ended.

        Raises
        ------
        ErgokedroError
            If one has failed.
        Stopped
            If :func:`ergokedro.progress.stop` was called, or the training stopped.
        """
        with ExitStack() as shown:
            self._thread.start()
            self._bar: Any = None
            while self._thread.is_alive() or not self._messages.empty():
                if is_stopped():
                    self._stop.set()
                try:
                    self._take(*self._messages.get(timeout=_POLL_SECONDS), shown)
                except queue.Empty:
                    continue
                except Stopped:
                    self._stop.set()
        if self._failure is not None:
            raise ErgokedroError(_describe(self._failure, self._errors)) from self._failure
        if self._stop.is_set():
            raise Stopped

    def _take(self, kind: str, content: Any, shown: ExitStack) -> None:
        if kind == "begin":
            self._bar = shown.enter_context(progress_bar(self._name, **content))
        elif kind == "update":
            amount, fields = content
            self._bar.update(amount, **fields)
        elif kind == "metrics":
            self._on_metrics([Measurement(*point) for point in content])
        elif kind == "log":
            logging.getLogger(content.name).handle(content)
        elif kind == "error":
            self._errors.append(content)

    def _run(self, processes: int, job: Callable[..., TrainingResult]) -> None:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            monitor_interval=_POLL_SECONDS,
            start_method="spawn",
        )
        try:
            elastic_launch(config, _work)(job, self._messages, self._stop)
        except BaseException as error:
            self._failure = error


def _describe(failure: BaseException, errors: list[str]) -> str:
    """The cause in one sentence: what ended first, and not what missed it then."""
    if not isinstance(failure, ChildFailedError):
        return f"The processes of training.processes could not be started: {failure}"
    for rank, process in failure.failures.items():
        if process.exitcode < 0:
            return (
                f"Process {rank} of the training was ended by {process.signal_name()}. If memory "
                "was short, lower training.processes or training.micro_batch. The same command "
                "goes on from the last checkpoint."
            )
    return errors[0] if errors else f"A process of the training failed: {failure}"


def _work(job: Callable[..., TrainingResult], messages: queue.Queue[Message], stop: Any) -> None:
    """What each process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when to stop
    rank = int(os.environ["LOCAL_RANK"])
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(rank)
    if sys.platform in _LOOPBACK:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    _forward_logs(messages, rank)
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        job(
            ranks=Rank(messages.put, stop),
            on_metrics=lambda points: messages.put(("metrics", points)),
        )
        dist.destroy_process_group()
    except Stopped:
        return
    except ErgokedroError as error:
        messages.put(("error", str(error)))
        sys.exit(1)
    except Exception as error:
        messages.put(("error", f"Process {rank} of the training failed: {error!r}"))
        sys.exit(1)


def _forward_logs(messages: queue.Queue[Message], rank: int) -> None:
    """What the first process logs is logged by the parent; the others say the same."""
    root = logging.getLogger("ergokedro")
    root.propagate = False
    root.setLevel(logging.INFO)
    root.addHandler(_Forward(messages) if rank == 0 else logging.NullHandler())


class _Forward(QueueHandler):
    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.put_nowait(("log", record))


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Silence these loggers."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
