"""Two processes that train a job together, as torch's process group."""

from __future__ import annotations

import os
import pickle
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ergokedro import progress
from ergokedro.registry import load_plugins
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.curves import Measurement, OnMetrics, ignore
from ergokedro.training.job import TrainingJob
from warm import CONTEXT


def train_in_two(
    job: TrainingJob, checkpoints: Checkpoints | None = None, on_metrics: OnMetrics = ignore
) -> list[Any]:
    """What `train` gives or raises in each process; EOFError for one that was killed."""
    with tempfile.TemporaryDirectory() as folder:
        connections = []
        for rank in range(2):
            ours, theirs = CONTEXT.Pipe()
            arguments = (rank, Path(folder) / "rendezvous", theirs, job, checkpoints, on_metrics)
            CONTEXT.Process(target=_train, args=arguments).start()
            theirs.close()
            connections.append(ours)
        return [_answer(connection) for connection in connections]


def stop_after_three(measurements: list[Measurement]) -> None:
    """Cancel the run once a point of its curves is of step 3 or later."""
    if measurements and measurements[-1].step >= 3:
        progress.stop()


def _answer(connection: Connection) -> Any:
    try:
        return pickle.loads(connection.recv_bytes())
    except EOFError as error:
        return error


def _train(
    rank: int,
    rendezvous: Path,
    answer: Connection,
    job: TrainingJob,
    checkpoints: Checkpoints | None,
    on_metrics: OnMetrics,
) -> None:
    import torch.distributed as dist

    from ergokedro.training.distributed import process_group
    from ergokedro.training.trainer import train

    load_plugins("toy_plugin")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", f"file://{rendezvous}", rank=rank, world_size=2)
    try:
        workers = process_group(2)
        result: Any = train(job, checkpoints=checkpoints, on_metrics=on_metrics, workers=workers)
    except BaseException as error:
        result = error
    # `send` would share memory that ends with this process.
    answer.send_bytes(pickle.dumps(result))
    dist.destroy_process_group()
