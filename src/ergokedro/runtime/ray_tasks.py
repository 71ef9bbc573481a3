"""Parts of the driver's own work as Ray tasks, which need nothing of the driver's disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, TypeVar

from ergokedro.data.processes import map_submitted, use_threads
from ergokedro.errors import ErgokedroError
from ergokedro.runtime.ray_cluster import connected, describe_node
from ergokedro.runtime.ray_worker import Failure, attempt

log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

# How often a task is started whose process or node ends each time.
_ATTEMPTS = 10


def map_on_cluster(
    function: Callable[[Task], Result], tasks: Iterable[Task], processes: int
) -> Iterator[Result]:
    """As :func:`ergokedro.data.processes.map_in_processes`, with a core of any node for each task.

    A task whose process or node ends starts again.

    Parameters
    ----------
    processes : tasks at the same time.

    Raises
    ------
    ErgokedroError
        If a task fails for a known reason, or its process ends each time that it is started.
    """
    import ray

    with connected():
        log.info("Up to %d Ray tasks at a time", processes)
        call = ray.remote(num_cpus=1, max_retries=_ATTEMPTS - 1)(_call)
        shared = [ray.put(function)]  # in a list, as Ray would unpickle it for each task otherwise
        try:
            for result in map_submitted(
                lambda task: call.remote(shared, task).future(), tasks, processes
            ):
                if isinstance(result, Failure):
                    raise ErgokedroError(_message(result))
                yield result
        except ray.exceptions.RayTaskError:  # a defect
            raise
        except ray.exceptions.RayError as error:
            raise ErgokedroError(
                f"A Ray task was started {_ATTEMPTS} times, and its process or node ended each "
                f"time, mostly for want of memory ({type(error).__name__}). Lower "
                "corpus.processes. The same command resumes from what is finished."
            ) from error


def _message(failure: Failure) -> str:
    return (
        f"On {describe_node(failure.node)}: {failure.message}" if failure.node else failure.message
    )


def _call(function: list[Any], task: Any) -> Any:
    """What a worker does.

    Parameters
    ----------
    function : Ray's reference to it.
    """
    import ray

    node = ray.get_runtime_context().get_node_id()
    return attempt(lambda: _fetched(function[0])(task), node)


@lru_cache(maxsize=1)
def _fetched(reference: Any) -> Callable[[Any], Any]:
    """What a reference refers to, which a process fetches once."""
    import ray

    use_threads(1)
    function: Callable[[Any], Any] = ray.get(reference)
    return function
