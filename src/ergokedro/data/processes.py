"""Work on parts of a corpus: in a thread, or in several processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from typing import Any, Protocol, TypeVar

from ergokedro.errors import ErgokedroError
from ergokedro.progress import end_if_stopped

Task = TypeVar("Task")
Result = TypeVar("Result")

# Seconds between looks whether the command was cancelled.
_POLL_SECONDS = 0.2
# Of a process that :func:`map_in_processes` has started: the pickled function.
_pickled = b""


class MapTasks(Protocol):
    """Calls a function with every task, so many at the same time; results as they are finished."""

    def __call__(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], processes: int, /
    ) -> Iterator[Result]: ...


def map_in_thread(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """Results in order; meanwhile this thread reads the next task and uses the last result."""
    with ThreadPoolExecutor(1) as pool:
        yield from map_submitted(lambda task: pool.submit(function, task), tasks, 1)


def map_in_processes(
    function: Callable[[Task], Result], tasks: Iterable[Task], processes: int
) -> Iterator[Result]:
    """Results in the order in which they are finished. Each process has its share of the cores.

    Parameters
    ----------
    function : is pickled once for each process.

    Raises
    ------
    ErgokedroError
        If a process is killed.
    """
    # Not forked: threads of this process would be missing there.
    context = multiprocessing.get_context("spawn")
    begin = (pickle.dumps(function), max(1, _cores() // processes))
    try:
        with ProcessPoolExecutor(processes, context, _begin, begin) as pool:
            yield from map_submitted(lambda task: pool.submit(_call, task), tasks, processes)
    except BrokenProcessPool as error:
        raise ErgokedroError(
            f"One of corpus.processes = {processes} was killed, mostly for want of memory. Lower "
            "corpus.processes."
        ) from error


def map_submitted(
    submit: Callable[[Task], Future[Result]], tasks: Iterable[Task], at_once: int
) -> Iterator[Result]:
    """Results in the order in which they are finished; `at_once` tasks, and one more, are held.

    Raises
    ------
    Stopped
        If the command was cancelled.
    """
    running: set[Future[Result]] = set()
    for task in tasks:
        finished = _finished(running) if len(running) == at_once else set()
        # Before the results are used, so that no process waits for that.
        running = running - finished | {submit(task)}
        yield from (future.result() for future in finished)
    while running:
        finished = _finished(running)
        running -= finished
        yield from (future.result() for future in finished)


def _finished(running: set[Future[Result]]) -> set[Future[Result]]:
    """Wait for some that are finished."""
    finished: set[Future[Result]] = set()
    while not finished:
        end_if_stopped()
        finished, _ = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
    return finished


def use_threads(threads: int) -> None:
    """Set how many threads the tokenizers' libraries start, before they start any."""
    os.environ["RAYON_NUM_THREADS"] = str(threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(pickled: bytes, threads: int) -> None:
    """What a process does first."""
    global _pickled
    use_threads(threads)
    _pickled = pickled


def _call(task: Any) -> Any:
    return _function()(task)


@cache
def _function() -> Callable[[Any], Any]:
    """The function of this process; unpickled here, where an error reaches the other one."""
    function: Callable[[Any], Any] = pickle.loads(_pickled)
    return function
