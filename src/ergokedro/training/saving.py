"""The state of a run between two steps: when it is saved, and how it is restored."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ergokedro.models.weights import file_tensors
from ergokedro.training.averaging import AveragedWeights
from ergokedro.training.checkpoint import Checkpoint, Checkpoints, capture, restore
from ergokedro.training.curves import Curves, Stopwatch
from ergokedro.training.distributed import Workers
from ergokedro.training.job import TrainingJob
from ergokedro.training.step import Stepper

log = logging.getLogger(__name__)


@dataclass
class RunState:
    """All that changes while a run is trained.

    The schedule of the learning rate and the order of the data are functions of the step, and
    nothing in the loop draws random numbers, so this is the whole state.

    Attributes
    ----------
    setup : what the run is computed with: device, threads, processes.
    average : of the weights, where the run looks for the best one.
    """

    stepper: Stepper
    curves: Curves
    watch: Stopwatch
    setup: dict[str, Any]
    average: AveragedWeights | None = None

    def done(self, steps: int) -> int:
        """How many of the run's `steps` steps are made; all where further ones are not needed."""
        ended = self.average is not None and self.average.ended
        return steps if ended else self.curves.step

    def capture(self, steps: int) -> Checkpoint:
        """The state as a checkpoint of a run of `steps` steps; without the optimizers, which a
        finished run does not need, if all are done."""
        resumable = self.done(steps) < steps
        optimizers = self.stepper.optimizers if resumable else []
        tensors, numbers = capture(self.stepper.model, optimizers)
        curve_tensors, curve_values = self.curves.state()
        state = {
            **curve_values,
            "optimizers": numbers,
            "seconds": self.watch.seconds,
            "machine": self.setup,
        }
        tensors |= curve_tensors
        if self.average is not None:
            averages, state["average"] = self.average.state(resumable=resumable)
            tensors |= file_tensors(averages)
        return Checkpoint(self.done(steps), tensors, state)

    def restore(self, checkpoint: Checkpoint, *, resumable: bool) -> None:
        """The inverse of :meth:`capture`; `setup` becomes the checkpoint's if not `resumable`."""
        state = checkpoint.state
        optimizers = self.stepper.optimizers if resumable else []
        restore(checkpoint.tensors, state["optimizers"], self.stepper.model, optimizers)
        self.curves.restore(checkpoint.tensors, state)
        if self.average is not None:
            self.average.restore(checkpoint.tensors, state["average"])
        self.watch.seconds = state["seconds"]
        if not resumable:
            self.setup = state["machine"]


class Saver:
    """Saves a run's state when a checkpoint is due.

    Parameters
    ----------
    checkpoints : of the run, or None to keep none; the leading process alone reads and writes them.
    workers : the processes that share the work.
    """

    def __init__(
        self, checkpoints: Checkpoints | None, job: TrainingJob, state: RunState, workers: Workers
    ):
        self._checkpoints = checkpoints if workers.leads else None
        self._job, self._state, self._workers = job, state, workers

    def resume(self) -> None:
        """Restore the latest checkpoint, if there is one, and log where the run starts."""
        latest = self._workers.share(self._latest())
        if latest is not None:
            self._state.restore(latest, resumable=latest.step < self._job.steps)

    def _latest(self) -> Checkpoint | None:
        if self._checkpoints is None:
            return None
        steps = self._job.steps
        latest = self._checkpoints.latest(steps)
        self._checkpoints.announce(latest, steps)
        if latest and latest.step < steps and latest.state["machine"] != self._state.setup:
            log.warning(
                "%s started with %s and resumes with %s: results differ by rounding",
                self._job.name,
                latest.state["machine"],
                self._state.setup,
            )
        return latest

    def save_if_due(self) -> None:
        """Save after the step that was just made, if its turn has come."""
        if self._checkpoints is None:
            return
        if self._checkpoints.due(self._state.done(self._job.steps), self._job.steps):
            with self._state.watch.paused():
                self._save(self._checkpoints)

    def save_now(self) -> None:
        """Save, since the run was cancelled."""
        if self._checkpoints is None:
            return
        self._save(self._checkpoints)
        step, steps = self._state.curves.step, self._job.steps
        log.info("%s: cancelled after step %d of %d, saved", self._job.name, step, steps)

    def _save(self, checkpoints: Checkpoints) -> None:
        steps = self._job.steps
        checkpoints.save(self._state.capture(steps), steps)
