"""Collects, saves and restores the state of a run between two steps."""

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
    """Everything that changes while a run is trained.

    The learning rate and the order of the data are functions of the step, and the loop draws no
    random numbers, so this is the whole state.

    Attributes
    ----------
    stepper : holds the model and the optimizers.
    curves : what was logged so far.
    watch : measures duration and speed.
    setup : `device`, `threads` and `processes` that compute the run.
    average : average of the weights; None where the run makes a fixed number of epochs.
    """

    stepper: Stepper
    curves: Curves
    watch: Stopwatch
    setup: dict[str, Any]
    average: AveragedWeights | None = None

    def done(self, steps: int) -> int:
        """Number of steps made; all `steps` of the run as soon as it has ended early."""
        ended = self.average is not None and self.average.ended
        return steps if ended else self.curves.step

    def capture(self, steps: int) -> Checkpoint:
        """The state as a checkpoint of a run of `steps` steps.

        If the run is finished, the optimizers' state is left out.
        """
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
        """Set the state to that of a checkpoint of :meth:`capture`.

        Parameters
        ----------
        resumable : whether steps are left. If not, the optimizers stay as they are, and `setup`
            becomes that of the checkpoint.
        """
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
    """Saves a run's state when a checkpoint is due, and resumes from the latest checkpoint.

    Parameters
    ----------
    checkpoints : of the run, or None to save nothing; only the leading process uses them.
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
        """Save the state after the last step, if a checkpoint is due."""
        if self._checkpoints is None:
            return
        if self._checkpoints.due(self._state.done(self._job.steps), self._job.steps):
            with self._state.watch.paused():
                self._save(self._checkpoints)

    def save_now(self) -> None:
        """Save the state because the run was cancelled."""
        if self._checkpoints is None:
            return
        self._save(self._checkpoints)
        step, steps = self._state.curves.step, self._job.steps
        log.info("%s: cancelled after step %d of %d, saved", self._job.name, step, steps)

    def _save(self, checkpoints: Checkpoints) -> None:
        steps = self._job.steps
        checkpoints.save(self._state.capture(steps), steps)
