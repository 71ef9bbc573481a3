"""Work on parts of a corpus in several processes."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from ergokedro.errors import ErgokedroError

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Task], Result], tasks: Iterable[Task], processes: int
) -> Iterator[Result]:
    """Results in the order in which they are finished; a task is taken when a process is free.

    Raises
    ------
    ErgokedroError
        If a process is killed.
    """
    # Not forked: threads of this process would be missing there. A process has its share of cores.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _use_threads, (_cores() // processes,))
    try:
        with pool:
            running: set[Future[Result]] = set()
            for task in tasks:
                if len(running) == processes:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                running.add(pool.submit(function, task))
            yield from (future.result() for future in as_completed(running))
    except BrokenProcessPool as error:
        raise ErgokedroError(
            f"One of corpus.processes = {processes} was killed, mostly for want of memory. Lower "
            "corpus.processes."
        ) from error


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _use_threads(threads: int) -> None:
    """Set how many threads the tokenizers' libraries start."""
    os.environ["RAYON_NUM_THREADS"] = str(max(1, threads))
