"""One run that several processes train together: Ray Train starts them, on one node or several.

All of them train. The first one also does what is done once: it reports, saves and evaluates.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from ergokedro.progress import Stopped
from ergokedro.runtime.ray_worker import Driver, Failure, attempt, run_namespace, unpack


@dataclass(frozen=True)
class Group:
    """The processes that train a run.

    Attributes
    ----------
    resources : that each of them needs, by Ray's names.
    nodes : Ray's label selector of the nodes that may have them.
    """

    processes: int
    resources: dict[str, float]
    nodes: dict[str, str]


class LostProcessError(Exception):
    """A process or a node has died: the same task then resumes from the last checkpoint."""


class GroupError(Exception):
    """Ends all processes of a run: one has failed, for a known reason or because of a defect."""

    def __init__(self, reason: Failure | Exception):
        super().__init__(reason)
        self.reason = reason


def run_in_group(name: str, work: bytes, driver: Driver, group: Group) -> Failure | None:
    """As :func:`ergokedro.runtime.ray_worker.run_namespace`, by several processes; a Ray task.

    Raises
    ------
    LostProcessError
        If one of them was lost.
    """
    from ray.train import RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchTrainer

    with TemporaryDirectory() as unused:  # by Ray Train, which would save checkpoints there
        trainer = TorchTrainer(
            _work,
            train_loop_config={"name": name, "work": work, "driver": driver},
            scaling_config=ScalingConfig(
                num_workers=group.processes,
                use_gpu="GPU" in group.resources,
                resources_per_worker=group.resources,
                label_selector=group.nodes or None,
            ),
            run_config=RunConfig(name=name, storage_path=unused),
        )
        try:
            trainer.fit()
        except WorkerGroupError as error:
            return _failure(error.worker_failures)
    return None


def _failure(errors: dict[int, Exception]) -> Failure:
    """Why a run has failed, by the errors of its processes."""
    reasons = [error.reason for error in errors.values() if isinstance(error, GroupError)]
    if not reasons:
        raise LostProcessError(f"processes {sorted(errors)} were lost")
    if isinstance(reasons[0], Failure):
        return reasons[0]
    raise reasons[0]


def _work(config: dict[str, Any]) -> None:
    """What each process does."""
    import ray
    import torch.distributed as dist

    from ergokedro.training.distributed import LostContactError

    try:
        if dist.get_rank() == 0:
            failure = run_namespace(**config)
        else:
            node = ray.get_runtime_context().get_node_id()
            failure = attempt(partial(_train_along, **config), node)
    except LostContactError:
        raise
    except Exception as error:
        raise GroupError(error) from error
    if failure is not None:
        raise GroupError(failure)


def _train_along(name: str, work: bytes, driver: Driver) -> None:
    """Train the run's model as the first process does, and keep nothing."""
    nodes, catalog = unpack(work, driver)
    (training,) = (node for node in nodes if f"{name}.model" in node.outputs)
    with suppress(Stopped):  # the first process may still be saving
        training.run({dataset: catalog.load(dataset) for dataset in training.inputs})
