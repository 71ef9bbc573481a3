"""The training loop of one run.

The batch, the learning rate, and whether to log or to validate are pure functions of the step.
Nothing is fetched from the device between logging points.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.design.records import TrainingSummary
from ergokedro.models.causal_lm import CausalLM
from ergokedro.models.factory import build_model
from ergokedro.models.weights import n_parameters, weights_fingerprint
from ergokedro.progress import ProgressBar, Stopped
from ergokedro.training.averaging import AveragedWeights
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.curves import Curves, OnMetrics, Stopwatch, ignore
from ergokedro.training.device import choose_machine, cpu_threads, keep_freed_memory
from ergokedro.training.distributed import SingleProcess, Workers
from ergokedro.training.evaluation import mean_nll
from ergokedro.training.job import TrainingJob
from ergokedro.training.lr_schedule import learning_rate, points
from ergokedro.training.saving import RunState, Saver
from ergokedro.training.stability import stability
from ergokedro.training.step import Stepper

SINGLE_PROCESS = SingleProcess()


@dataclass(frozen=True)
class TrainingResult:
    """The trained model of a job, with its learning curves and a summary of the training.

    Attributes
    ----------
    model : on the CPU.
    history : the curves, one row per :class:`ergokedro.training.curves.Measurement`.
    summary : sizes, fingerprints, stability and speed.
    """

    model: CausalLM
    history: pd.DataFrame
    summary: TrainingSummary


def train(
    job: TrainingJob,
    *,
    checkpoints: Checkpoints | None = None,
    on_metrics: OnMetrics = ignore,
    workers: Workers = SINGLE_PROCESS,
) -> TrainingResult:
    """Train a model from random weights, or from where an earlier call was interrupted.

    Parameters
    ----------
    checkpoints : of this run, or None to keep none.
    on_metrics : receives the points of the curves as they come, those of an interrupted call first.
    workers : the processes that share the work, this one among them; each of them calls this.

    Raises
    ------
    ErgokedroError
        If a loss or a gradient norm is not finite.
    """
    keep_freed_memory()
    model = build_model(job.model, job.seed)
    initial = weights_fingerprint(model)
    machine = choose_machine(job.params, model.multiplied_weights, job.tokens_per_step)
    with cpu_threads(machine.threads):
        stepper = Stepper(job, model.to(machine.device).train(), workers)
        curves = Curves(job, on_metrics if workers.leads else ignore)
        setup = {
            "device": str(machine.device),
            "threads": machine.threads,
            "processes": workers.size,
        }
        average = AveragedWeights(job, model, workers) if job.averaged_for else None
        state = RunState(stepper, curves, Stopwatch(), setup, average)
        saver = Saver(checkpoints, job, state, workers)
        saver.resume()
        with workers.progress_bar(job.name, job.tokens, "tokens", done=curves.tokens) as bar:
            _make_steps(job, state, saver, bar, validates=workers.leads)
    best = average.best_epochs if average else None
    summary = training_summary(
        job, curves, model, state.watch.seconds, initial, best_epochs=best, **state.setup
    )
    return TrainingResult(model.cpu(), pd.DataFrame(curves.history), summary)


def _make_steps(
    job: TrainingJob, state: RunState, saver: Saver, bar: ProgressBar, *, validates: bool
) -> None:
    """Make the steps that are left, with logging, validation and checkpoints.

    Parameters
    ----------
    validates : whether this process measures the validation windows.

    Raises
    ------
    Stopped
        If the run is cancelled, after its state was saved.
    """
    curves, watch = state.curves, state.watch
    if state.done(job.steps) == job.steps:
        return
    log_at = points(job.steps, job.params.log_points)
    validate_at = points(job.steps, job.params.validation_points) if validates else set()
    watch.start(curves.tokens)
    if curves.step == 0 and validates:
        _validate(job, state)
    ended = False
    while not ended:
        before = curves.tokens
        curves.add(state.stepper.step(curves.step))
        _average(state)
        ended = state.done(job.steps) == job.steps
        shown = _log(job, state) if ended or curves.step in log_at else {}
        if validates and (ended or curves.step in validate_at):
            _validate(job, state)
        watch.read()
        saver.save_if_due()
        try:
            bar.update(curves.tokens - before, **shown)
        except Stopped:
            saver.save_now()
            raise


def _average(state: RunState) -> None:
    """Add the weights after the last step to their average, where the run has one."""
    if state.average is None:
        return
    with state.watch.paused():
        xe = state.average.add(state.curves.step)
    if xe is not None:
        state.curves.record({("averaged_xe", ""): xe})


def _log(job: TrainingJob, state: RunState) -> dict[str, str]:
    """Add a point to the training curves; returns what the progress bar shows."""
    curves = state.curves
    curves.fetch()  # waits for the device, so that the time is that of the steps
    rate = learning_rate(curves.step - 1, job.steps, job.params)
    return curves.log(rate, state.watch.speed(curves.tokens))


def _validate(job: TrainingJob, state: RunState) -> None:
    """Measure the XE of the validation windows, component by component."""
    batch = 4 * job.params.batch_size
    with state.watch.paused():
        state.curves.record(
            {
                ("validation_xe", component): mean_nll(state.stepper.model, tokens, batch)
                for component, tokens in job.validation.items()
            }
        )


def training_summary(
    job: TrainingJob, curves: Curves, model: CausalLM, seconds: float, initial: str, **setup: Any
) -> TrainingSummary:
    """The summary of a finished training.

    Parameters
    ----------
    seconds : duration of the training.
    initial : fingerprint of the weights before the first step.
    setup : further fields of the summary: `device`, `threads` and `processes`, and `best_epochs`
        where weights were averaged.
    """
    rates = np.array([learning_rate(step, job.steps, job.params) for step in range(job.steps)])
    return TrainingSummary(
        seed=job.seed,
        steps=curves.step,
        tokens_seen=curves.tokens,
        epochs=job.params.epochs,
        batch_size=job.params.batch_size,
        parameters=n_parameters(model),
        initial_weights=initial,
        final_weights=weights_fingerprint(model),
        schedule=hashlib.sha256(rates.tobytes()).hexdigest(),
        seconds=seconds,
        tokens_per_second=curves.tokens / seconds,
        **stability(np.array(curves.losses), np.array(curves.norms)),
        **setup,
    )
