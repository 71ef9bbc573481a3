"""Data-parallel training of one run by several processes of this machine.

torch's elastic launcher starts the processes and ends all of them when one fails. They share the
run's checkpoints: every process reads them, the first one writes them, and the finished run is read
from the last one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from logging.handlers import QueueHandler
from multiprocessing.synchronize import Event
from pathlib import Path
from uuid import uuid4

import torch
import torch.distributed as dist
from torch.distributed import elastic
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.multiprocessing.spawn import ProcessContext

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CheckpointParameters, TrainingParameters
from ergokedro.progress import Advanced, Began, Ended, Report, Reports, Stopped, is_stopped
from ergokedro.registry import load_plugins
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.curves import Measurement, OnMetrics, ignore
from ergokedro.training.device import choose_device
from ergokedro.training.distributed import LostContactError, ProcessGroup
from ergokedro.training.job import TrainingJob
from ergokedro.training.trainer import TrainingResult, train

_POLL_SECONDS = 0.2
# Longer than the launcher takes to see which process ended first.
_SECONDS_TO_BE_ENDED = 30.0
_START_METHOD = "spawn"
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}
# What these log is told better by this module: failures at length, and that threads get no signals.
_TALKATIVE = (elastic.__name__, ProcessContext.__module__)


@dataclass(frozen=True)
class Measured:
    """Message of a process: new points of the training curves."""

    measurements: list[Measurement]


@dataclass(frozen=True)
class Failed:
    """Message of a process: why it ends."""

    reason: str


Message = Report | Measured | Failed | logging.LogRecord


def train_in_processes(
    job: TrainingJob, *, checkpoints: Checkpoints | None = None, on_metrics: OnMetrics = ignore
) -> TrainingResult:
    """As :func:`ergokedro.training.trainer.train`, by `job.params.processes` processes.

    Equal to one process up to the rounding of sums. A process holds its rows of every batch, the
    model and the optimizers; CPU threads are divided between them.

    Raises
    ------
    ErgokedroError
        If a process fails; the others are ended.
    Stopped
        If the run was cancelled.
    """
    _check(job.params)
    with ExitStack() as stack:
        if checkpoints is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            only_the_last = CheckpointParameters(every=job.steps + 1)
            checkpoints = Checkpoints(folder, job.name, {}, only_the_last)
        checkpoints.start_over(job.steps)
        if checkpoints.finished(job.steps):
            return train(job, checkpoints=checkpoints, on_metrics=on_metrics)
        with _silent(*_TALKATIVE):
            _Launch(job, checkpoints, on_metrics).wait()
        return train(job, checkpoints=checkpoints, announce=False)


def _check(params: TrainingParameters) -> None:
    """Refuse what would leave a process without work, or without a GPU."""
    if params.processes > params.batch_size:
        raise ErgokedroError(
            f"training.processes = {params.processes} is more than the training.batch_size of "
            f"{params.batch_size} windows; some would have nothing to do. Lower it."
        )
    on_gpus = choose_device(params.device).type == "cuda"
    if on_gpus and params.processes > (gpus := torch.cuda.device_count()):
        raise ErgokedroError(
            f"training.processes = {params.processes}, but there are {gpus} GPUs, and each "
            "process needs one. Lower it."
        )


class _Launch:
    """Processes that train a job, and what this process does for them: show, record, cancel."""

    def __init__(self, job: TrainingJob, checkpoints: Checkpoints, on_metrics: OnMetrics):
        context = multiprocessing.get_context(_START_METHOD)
        self._messages: multiprocessing.Queue[Message] = context.Queue()
        self._stop = context.Event()
        self._on_metrics = on_metrics
        self._reports = Reports()
        self._errors: list[str] = []
        self._failure: BaseException | None = None
        start = partial(self._run, job, checkpoints)
        self._thread = threading.Thread(target=start, daemon=True)

    def wait(self) -> None:
        """Until all processes have ended.

        Raises
        ------
        ErgokedroError
            If one has failed.
        Stopped
            If the run was cancelled.
        """
        with closing(self._reports):
            self._thread.start()
            while self._thread.is_alive() or not self._messages.empty():
                if is_stopped():
                    self._stop.set()
                try:
                    self._receive(self._messages.get(timeout=_POLL_SECONDS))
                except queue.Empty:
                    continue
                except Stopped:
                    self._stop.set()
        if self._failure is not None:
            raise ErgokedroError(_describe(self._failure, self._errors)) from self._failure
        if self._stop.is_set():
            raise Stopped

    def _receive(self, message: Message) -> None:
        match message:
            case Began() | Advanced() | Ended():
                self._reports.show(message)
            case Measured():
                self._on_metrics(message.measurements)
            case Failed():
                self._errors.append(message.reason)
            case logging.LogRecord():
                logging.getLogger(message.name).handle(message)

    def _run(self, job: TrainingJob, checkpoints: Checkpoints) -> None:
        """Start the processes and wait for them, in a thread of its own."""
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=job.params.processes,
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            monitor_interval=_POLL_SECONDS,
            start_method=_START_METHOD,
        )
        try:
            elastic_launch(config, _work)(job, checkpoints, self._messages, self._stop)
        except BaseException as error:
            self._failure = error


def _describe(failure: BaseException, errors: list[str]) -> str:
    """The cause in one sentence: that of the process that failed first."""
    if not isinstance(failure, ChildFailedError):
        return f"The processes of training.processes could not be started: {failure}"
    for rank, process in failure.failures.items():
        if process.exitcode < 0:
            return (
                f"Process {rank} of the training was ended by {process.signal_name()}. If memory "
                "was short, lower training.processes or training.micro_batch. The same command "
                "resumes from the last checkpoint."
            )
    return errors[0] if errors else f"A process of the training failed: {failure}"


def _work(
    job: TrainingJob,
    checkpoints: Checkpoints,
    messages: multiprocessing.Queue[Message],
    stop: Event,
) -> None:
    """What each process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the waiting process says when to stop
    rank = int(os.environ["LOCAL_RANK"])
    _forward_logs(messages, rank)
    finished = threading.Event()
    watch = (messages, stop, finished)
    threading.Thread(target=_end_if_orphaned, args=watch, daemon=True).start()
    try:
        load_plugins(job.plugins)
        _join_group(rank)
        train(
            job,
            checkpoints=checkpoints,
            on_metrics=lambda measurements: messages.put(Measured(measurements)),
            workers=ProcessGroup(messages.put, stop.is_set),
        )
        dist.destroy_process_group()
    except Stopped:
        return
    except Exception as error:
        if isinstance(error, LostContactError):  # another one failed first; the launcher ends all
            time.sleep(_SECONDS_TO_BE_ENDED)
        known = isinstance(error, ErgokedroError)
        reason = str(error) if known else f"Process {rank} of the training failed: {error!r}"
        messages.put(Failed(reason))
        sys.exit(1)
    finally:
        finished.set()


def _join_group(rank: int) -> None:
    """Initialise torch's process group, over this machine's own network interface."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(rank)
    if sys.platform in _LOOPBACK:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")


def _end_if_orphaned(
    messages: multiprocessing.Queue[Message], stop: Event, finished: threading.Event
) -> None:
    """Cancel the run when the waiting process has ended, however it did, and end this process.

    As after Ctrl-C, all processes make the same last step, and the first one saves a checkpoint.
    """
    if (parent := multiprocessing.parent_process()) is None:
        return
    parent.join()
    messages.cancel_join_thread()  # they are not read any more
    stop.set()
    finished.wait()
    # By a signal: torch's launcher would wait for ever until somebody reads the result.
    os.kill(os.getpid(), signal.SIGTERM)


def _forward_logs(messages: multiprocessing.Queue[Message], rank: int) -> None:
    """Let the waiting process log what the first process logs; the others log the same."""
    root = logging.getLogger("ergokedro")
    root.propagate = False
    root.setLevel(logging.INFO)
    root.addHandler(QueueHandler(messages) if rank == 0 else logging.NullHandler())


@contextmanager
def _silent(*names: str) -> Iterator[None]:
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
