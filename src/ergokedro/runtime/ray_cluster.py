"""The Ray cluster: how it is reached, what its nodes have, and what a run needs of them."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import TrainingParameters
from ergokedro.runtime.config_loader import project_folder

if TYPE_CHECKING:
    from ergokedro.training.cost_estimate import Plan

log = logging.getLogger(__name__)

# Bytes that a worker has before it trains: its libraries.
_BASE_MEMORY = 5e8
# Of a Ray on this machine: runs are given file names, and tasks that tokenize some megabytes.
_LOCAL = {"include_dashboard": False, "object_store_memory": 200_000_000}


def wants_gpu(training: TrainingParameters, resources: list[dict[str, float]]) -> bool:
    """Whether runs are trained on GPUs.

    Parameters
    ----------
    resources : of each node, by Ray's names.

    Raises
    ------
    ErgokedroError
        If a GPU is asked for and no node has one.
    """
    available = any(node.get("GPU", 0) > 0 for node in resources)
    if training.device == "cuda" and not available:
        raise ErgokedroError(
            "training.device = 'cuda', but no node of the Ray cluster has a GPU; set it to 'auto'."
        )
    return available and training.device in ("auto", "cuda")


def task_options(plan: Plan) -> dict[str, float]:
    """What Ray reserves for a process of a run; memory, in bytes, where the plan was measured."""
    machine = plan.machine
    if machine.device.type == "cuda":
        # A process that computes on a GPU needs one core.
        gpus = 1 if plan.training.processes > 1 else 1 / machine.runs_per_gpu
        return {"num_cpus": 1, "num_gpus": gpus}
    options: dict[str, float] = {"num_cpus": machine.threads}
    if plan.measured is not None:
        options["memory"] = int(plan.measured.memory + _BASE_MEMORY)
    return options


_RESOURCES = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}


def by_resource(options: dict[str, float]) -> dict[str, float]:
    """:func:`task_options` by the names that nodes have for them."""
    return {_RESOURCES[option]: amount for option, amount in options.items()}


def room(options: dict[str, float], resources: list[dict[str, float]]) -> int:
    """How many processes the nodes have room for; parameters as of :func:`runs_at_once`."""
    needs = by_resource(options)
    return sum(
        min(int(node.get(name, 0) / amount) for name, amount in needs.items()) for node in resources
    )


def runs_at_once(
    options: dict[str, float], resources: list[dict[str, float]], processes: int = 1
) -> int:
    """How many runs the nodes can compute at the same time; at least one.

    Parameters
    ----------
    options : of :func:`task_options`.
    resources : of each node, by Ray's names.
    processes : of each run.
    """
    together = room(options, resources)
    if together < processes:
        log.warning(
            "The nodes of the Ray cluster have room for %d of the %d processes of a run (each %s); "
            "runs wait until others join. training.threads and training.processes change what a "
            "run needs.",
            together,
            processes,
            ", ".join(f"{name} {amount:g}" for name, amount in by_resource(options).items()),
        )
    return max(1, together // processes)


@contextmanager
def connected() -> Iterator[None]:
    """Ray, as it is connected already, or at RAY_ADDRESS, or started on this machine."""
    import ray

    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    where = {"address": address} if address else {"address": "local", **_LOCAL}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            **where,
            runtime_env=_runtime_environment(),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ErgokedroError(
            f"RAY_ADDRESS = {address!r}: Ray cannot be reached ({error}). Start it there with "
            "`ray start --head`, or unset RAY_ADDRESS to use this machine alone."
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray's own would end this process at once
    try:
        yield
    finally:
        ray.shutdown()


def _runtime_environment() -> dict[str, Any]:
    """The project's source, which workers import; a submitted Ray job brings its own."""
    source = project_folder() / "src"
    submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if submitted or not source.is_dir() or not any(source.iterdir()):
        return {}
    return {"working_dir": str(source)}


def describe_node(node: str) -> str:
    """A node's host name and the beginning of its id."""
    import ray

    hosts = {n["NodeID"]: n["NodeManagerHostname"] for n in ray.nodes()}
    return f"node {node[:8]} ({hosts.get(node, 'unknown host')})"
