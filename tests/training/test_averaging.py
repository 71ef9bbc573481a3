"""The best number of epochs in one run: the average, where it ends, and that it resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ergokedro.design.mixture import make_manifest
from ergokedro.design.runs import Run
from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import build_model
from ergokedro.parameters import CheckpointParameters
from ergokedro.training.averaging import AveragedWeights
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.distributed import SingleProcess
from ergokedro.training.evaluation import mean_nll
from ergokedro.training.job import TrainingJob
from ergokedro.training.lr_schedule import learning_rate
from ergokedro.training.run import RunSettings, train_run, training_job
from ergokedro.training.together import train_together
from ergokedro.training.trainer import TrainingResult, train
from small_training import PARAMS, make_job, random_windows, small_run

HELD_OUT = random_windows(6, seed=1)
# Ten random windows, which can only be learned by heart: further epochs soon make others worse.
SEARCH = PARAMS.model_copy(
    update={"epochs": 40, "schedule": "wsd", "decay_fraction": 0.0, "learning_rate": 2e-2}
)


def search_job() -> TrainingJob:
    return make_job(random_windows(), SEARCH, validation={"a": HELD_OUT}, averaged_for=("a",))


def averaged_xe(result: TrainingResult) -> dict[int, float]:
    """Step -> XE of the average."""
    points = result.history[result.history.metric == "averaged_xe"]
    return dict(zip(points.step, points.value, strict=True))


def test_the_average_weighs_step_s_by_a_power_of_it() -> None:
    job = search_job()
    model = build_model(job.model, 0)
    average = AveragedWeights(job, model, SingleProcess())
    weights = list(model.parameters())
    for step in range(1, 8):
        with torch.no_grad():
            for weight in weights:
                weight.fill_(float(step))
        average.add(step)
    steps = np.arange(1, 8)
    shares = steps**8 - (steps - 1) ** 8  # about 8 s^7
    expected = float((shares * steps).sum() / shares.sum())
    tensors, _ = average.state(resumable=True)
    assert tensors["average.0"].mean().item() == pytest.approx(expected, rel=1e-6)


def test_the_model_is_the_best_average_and_the_run_ends_soon_after_it() -> None:
    job = search_job()
    result = train(job)
    xe = averaged_xe(result)
    best = min(xe, key=xe.__getitem__)
    assert mean_nll(result.model, HELD_OUT, 16) == pytest.approx(xe[best], abs=1e-6)
    assert result.summary.best_epochs == best / job.steps_per_epoch
    assert result.summary.steps == max(xe) < job.steps  # it ended before all epochs were made
    assert result.summary.tokens_seen < job.tokens
    # A quarter more steps than the last one that was better by 0.001, rounded up to half an epoch.
    mark_xe, mark = float("inf"), 0
    for step, value in xe.items():
        if value < mark_xe - 1e-3:
            mark_xe, mark = value, step
    *_, before, last = xe
    assert before < 1.25 * mark <= last


def test_an_interrupted_search_ends_in_the_same_weights(tmp_path: Path) -> None:
    job = search_job()
    whole = train(job)
    every = CheckpointParameters(every=7, keep_last=99)
    train(job, checkpoints=Checkpoints(tmp_path, "k1", {"run": 1}, every))
    (folder,) = tmp_path.iterdir()
    *earlier, last = sorted(folder.iterdir())
    assert last.name == f"step-{job.steps:09d}.safetensors"  # ended: nothing is left to do
    last.unlink()
    for file in earlier[1:]:
        file.unlink()
    resumed = train(job, checkpoints=Checkpoints(tmp_path, "k1", {"run": 1}, every))
    again = train(job, checkpoints=Checkpoints(tmp_path, "k1", {"run": 1}, every))
    for other in (resumed, again):
        assert other.summary.final_weights == whole.summary.final_weights
        assert other.summary.best_epochs == whole.summary.best_epochs
        assert other.summary.steps == whole.summary.steps
        assert averaged_xe(other) == averaged_xe(whole)


def test_a_run_of_the_control_searches_at_a_constant_rate(tmp_path: Path) -> None:
    small = small_run(tmp_path / "store")
    manifest = make_manifest(small.store, small.design, Run("c", (1,), 1, repeats=2, search=True))
    settings = RunSettings(training=PARAMS.model_copy(update={"warmup_fraction": 0.2}))
    job = training_job(manifest, small.store, settings, small.windows)
    assert (job.params.epochs, job.averaged_for) == (6, ("a",))
    rates = [learning_rate(step, job.steps, job.params) for step in range(job.steps)]
    warmup = round(0.2 * job.steps / 2)  # as many steps as without the further epochs
    assert rates[warmup - 1 :] == [PARAMS.learning_rate] * (job.steps - warmup + 1)
    assert rates[0] < rates[warmup - 2] < PARAMS.learning_rate
    summary = train_run(manifest, small.store, settings, small.windows).summary
    assert summary.best_epochs is not None
    assert 0 < summary.best_epochs <= 6


def test_models_of_k_are_treated_as_the_best_specialists_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    small = small_run(tmp_path / "store")
    params = PARAMS.model_copy(update={"schedule": "averaged", "warmup_fraction": 0.2})
    settings = RunSettings(training=params)
    runs = Run("c", (1, 2), 2), Run("c", (1,), 1), Run("c", (1,), 1, search=True)
    manifests = [make_manifest(small.store, small.design, run) for run in runs]
    jobs = [training_job(m, small.store, settings, small.windows) for m in manifests]
    assert [job.averaged_for for job in jobs] == [("a", "b"), ("a",), ("a",)]
    for job in jobs:
        rates = [learning_rate(step, job.steps, job.params) for step in range(job.steps)]
        warmup = round(0.2 * job.steps)
        assert rates[warmup - 1 :] == [PARAMS.learning_rate] * (job.steps - warmup + 1)
    weights = [train(job).summary.final_weights for job in jobs[1:]]
    assert weights[0] == weights[1]


def test_searches_cannot_be_trained_together() -> None:
    with pytest.raises(ErgokedroError, match=r"controls\.specialist_form=best"):
        train_together([search_job()], torch.device("cpu"))
