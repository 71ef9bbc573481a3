"""Trains a run of the experiment on its manifest, and evaluates its model; without Kedro."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ergokedro.data.token_store import TokenStore
from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.mixture import Manifest
from ergokedro.design.nll import NLLArrays, find_nll, save_nll
from ergokedro.design.records import NLLFingerprints, NLLMeta, RunSummary, TrainingSummary
from ergokedro.design.training_windows import TrainingWindows
from ergokedro.errors import ErgokedroError
from ergokedro.models.causal_lm import CausalLM
from ergokedro.models.factory import model_config
from ergokedro.models.presets import warn_of_untuned_rate, with_learning_rate
from ergokedro.models.weights import weights_fingerprint
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.progress import progress_bar
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.curves import OnMetrics, ignore
from ergokedro.training.device import choose_device, cpu_threads, keep_freed_memory
from ergokedro.training.distributed import process_group
from ergokedro.training.evaluation import evaluate, pick_windows
from ergokedro.training.identity import model_versions, run_identity
from ergokedro.training.job import TrainingJob
from ergokedro.training.trainer import train

log = logging.getLogger(__name__)
# Settings that do not change what a run computes, and are not kept in its summary.
_NOT_IN_SUMMARY = {"checkpoints", "parallel_runs", "runs_per_gpu", "repeat"}


@dataclass(frozen=True)
class RunSettings:
    """The groups of settings that a run is trained with.

    Attributes
    ----------
    model : architecture and size.
    training : optimizer, schedule, epochs, batch size and machine.
    seed : of initial weights and data order.
    """

    model: ModelParameters = field(default_factory=ModelParameters)
    training: TrainingParameters = field(default_factory=TrainingParameters)
    seed: int = 0


@dataclass(frozen=True)
class TrainedRun:
    """The trained model of a run, with its learning curves and its summary.

    Attributes
    ----------
    model : on the CPU.
    history : the curves, one row per :class:`ergokedro.training.curves.Measurement`.
    summary : the run's name, settings, sizes, fingerprints, stability and speed.
    reused : an earlier command had finished the run, so it was not trained again.
    """

    model: CausalLM
    history: pd.DataFrame
    summary: RunSummary
    reused: bool = False


def train_run(
    manifest: Manifest,
    store: TokenStore,
    settings: RunSettings,
    evaluation_windows: pd.DataFrame,
    *,
    checkpoints: Path | None = None,
    on_metrics: OnMetrics = ignore,
) -> TrainedRun:
    """Train a model from random weights on what the manifest says.

    With `training.processes` above 1 every process of torch's process group calls this.

    Parameters
    ----------
    store : the token store that the manifest was made for.
    evaluation_windows : the held-out windows; the curves are measured on some of split
        `validation`. Columns split, component and start.
    checkpoints : folder in which an interrupted run is resumed and a finished one is found, or None
        to keep nothing.
    on_metrics : receives the points of the curves as they come.

    Raises
    ------
    ErgokedroError
        If a setting names something that is not registered, settings do not fit together, another
        number of processes has been started, or the training diverges.
    """
    job = training_job(manifest, store, settings, evaluation_windows)
    tokens = manifest.total_tokens * job.params.epochs
    warn_of_untuned_rate(settings.training, settings.model, tokens)
    kept = _checkpoints(checkpoints, job, manifest, evaluation_windows) if checkpoints else None
    reused = kept is not None and kept.steps_done(job.steps) == job.steps
    workers = process_group(job.params.processes)
    result = train(job, checkpoints=kept, on_metrics=on_metrics, workers=workers)
    summary = run_summary(manifest, settings.model, job.params, result.summary)
    return TrainedRun(result.model, result.history, summary, reused)


def steps_done(
    manifest: Manifest,
    store: TokenStore,
    settings: RunSettings,
    evaluation_windows: pd.DataFrame,
    checkpoints: Path,
) -> int:
    """The step from which :func:`train_run` would resume; the last one for a finished run.

    Only the names of checkpoints are read.
    """
    job = training_job(manifest, store, settings, evaluation_windows)
    return _checkpoints(checkpoints, job, manifest, evaluation_windows).steps_done(job.steps)


def training_job(
    manifest: Manifest, store: TokenStore, settings: RunSettings, evaluation_windows: pd.DataFrame
) -> TrainingJob:
    """The job that :func:`train_run` trains.

    It has the epochs, the learning rate and the seed that the manifest makes of those in
    `settings`. Parameters as of :func:`train_run`.
    """
    epochs = manifest.epochs(settings.training.epochs)
    training = with_learning_rate(settings.training, settings.model)
    rate = training.learning_rate * manifest.rate
    changes = {"epochs": epochs, "learning_rate": rate}
    if manifest.search:
        changes |= _constant_rate(settings.training, epochs)
    averages = manifest.search or settings.training.averages
    training = training.model_copy(update=changes)
    seed = settings.seed + manifest.seed_offset
    block_shuffle = training.shuffle == "block"
    return TrainingJob(
        name=manifest.run,
        model=model_config(settings.model, store.vocab_size),
        windows=TrainingWindows(store, manifest, seed, block_shuffle=block_shuffle),
        params=training,
        seed=seed,
        validation=pick_windows(
            store.tokens,
            evaluation_windows[evaluation_windows.split == "validation"],
            manifest.window_length,
            training.validation_windows,
        ),
        averaged_for=tuple(dict.fromkeys(manifest.labels)) if averages else (),
    )


def _constant_rate(protocol: TrainingParameters, epochs: int) -> dict[str, Any]:
    """Settings of a run that looks for its best number of epochs: warm-up, then a constant rate.

    The warm-up has as many steps as if the run made the protocol's epochs.
    """
    warmup = min(1.0, protocol.warmup_fraction * protocol.epochs / epochs)
    return {"schedule": "wsd", "decay_fraction": 0.0, "warmup_fraction": warmup}


def _checkpoints(
    folder: Path, job: TrainingJob, manifest: Manifest, evaluation_windows: pd.DataFrame
) -> Checkpoints:
    """The checkpoints of a job in `folder`."""
    identity = run_identity(
        manifest.fingerprint,
        job.seed,
        job.model,
        job.params,
        windows_fingerprint(evaluation_windows),
    )
    return Checkpoints(folder, job.name, identity, job.params.checkpoints, job.params.repeat)


def run_summary(
    manifest: Manifest,
    model: ModelParameters,
    training: TrainingParameters,
    summary: TrainingSummary,
) -> RunSummary:
    """The summary of a training, with the manifest and the settings that it was trained with."""
    return RunSummary(
        run=manifest.run,
        k=manifest.k,
        components=manifest.labels,
        manifest=manifest.fingerprint,
        total_tokens=manifest.total_tokens,
        settings={
            "model": model.model_dump(),
            "training": training.model_dump(exclude=_NOT_IN_SUMMARY),
        },
        **summary.model_dump(),
    )


def evaluate_run(
    model: CausalLM,
    summary: RunSummary,
    manifest: Manifest,
    store: TokenStore,
    evaluation_windows: pd.DataFrame,
    *,
    batch_size: int = 64,
    device: str = "auto",
    kept: Path | None = None,
) -> NLLArrays:
    """Measure the NLL of every evaluation window.

    Parameters
    ----------
    model, summary, manifest : of the run. The model stays on the device.
    store : the token store that the windows were chosen in.
    evaluation_windows : columns split and start.
    batch_size : windows per forward pass.
    device : as the setting `training.device`.
    kept : file in which equal code keeps its measurement of equal weights, or None to keep nothing.

    Returns
    -------
    Per split float32 (windows of the split, window_length - 1), nats, in the order of
    `evaluation_windows`.

    Raises
    ------
    ErgokedroError
        If the summary describes another model or another manifest, or the device is missing.
    """
    check_weights(model, summary, manifest.fingerprint)
    meta = _nll_meta(model, summary, manifest, store, evaluation_windows)
    if kept and (earlier := find_nll(kept, meta)):
        log.info("%s is evaluated already and is not evaluated again", manifest.run)
        return earlier
    keep_freed_memory()
    model = model.to(choose_device(device))
    name, n, length = f"{manifest.run} evaluation", len(evaluation_windows), manifest.window_length
    with cpu_threads(summary.threads), progress_bar(name, total=n, unit="windows") as bar:
        nll = evaluate(model, store.tokens, evaluation_windows, length, batch_size, bar.update)
    arrays = NLLArrays(nll, meta)
    if kept:
        save_nll(kept, arrays)
    return arrays


def check_weights(model: CausalLM, summary: RunSummary, manifest: str) -> None:
    """Refuse a model that is not the one that `summary` describes, or is of another manifest.

    Parameters
    ----------
    manifest : fingerprint of the run's manifest.

    Raises
    ------
    ErgokedroError
        With the command that trains the model again.
    """
    same = weights_fingerprint(model) == summary.final_weights
    if not same or summary.manifest != manifest:
        raise ErgokedroError(
            f"The saved model of {summary.run} was trained on another manifest or was changed. "
            f"Run `kedro run --namespaces {summary.run}` with the same --env and --params to train "
            "it again."
        )


def _nll_meta(
    model: CausalLM,
    summary: RunSummary,
    manifest: Manifest,
    store: TokenStore,
    evaluation_windows: pd.DataFrame,
) -> NLLMeta:
    return NLLMeta(
        run=manifest.run,
        k=manifest.k,
        seed=summary.seed,
        components=manifest.labels,
        fingerprints=NLLFingerprints(
            manifest=manifest.fingerprint,
            weights=summary.final_weights,
            evaluation_windows=windows_fingerprint(evaluation_windows),
            store=store.fingerprint,
            tokenizer=manifest.tokenizer,
        ),
        versions=model_versions(model.config),
    )
