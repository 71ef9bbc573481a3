"""Nodes that train and evaluate the model of one K.

torch is imported when they run. Kedro turns parameters into their models by the annotations, all
of which must therefore be importable: a torch module is `Any` here.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.mixture import Manifest, check_current
from ergokedro.design.nll import NLLArrays, find_nll, save_nll
from ergokedro.design.records import NLLFingerprints, NLLMeta, RunSummary
from ergokedro.parameters import EvaluationParameters, ModelParameters, TrainingParameters
from ergokedro.runtime import tracking

log = logging.getLogger(__name__)


def train_model(
    token_store: TokenStore,
    tokenizer: Tokenizer,
    manifest: Manifest,
    evaluation_windows: pd.DataFrame,
    model: ModelParameters,
    training: TrainingParameters,
    seed: int,
    checkpoints: Path,
) -> tuple[Any, pd.DataFrame, RunSummary]:
    """Train a model from random weights on what the manifest says.

    What an earlier call left in the folder `checkpoints` is gone on with.
    """
    from ergokedro.design.evaluation_windows import windows_fingerprint
    from ergokedro.design.training_windows import TrainingWindows
    from ergokedro.models.factory import model_config
    from ergokedro.training.checkpoint import Checkpoints, run_identity
    from ergokedro.training.evaluation import pick_windows
    from ergokedro.training.launcher import train_in_processes
    from ergokedro.training.trainer import train

    check_current(manifest, token_store, tokenizer)
    seed += manifest.seed_offset
    training = training.model_copy(update={"epochs": training.epochs * manifest.repeats})
    validation = pick_windows(
        token_store.tokens,
        evaluation_windows[evaluation_windows.split == "validation"],
        manifest.window_length,
        training.validation_windows,
    )
    config = model_config(model, tokenizer.vocab_size)
    identity = run_identity(
        manifest.fingerprint,
        seed,
        asdict(config),
        training,
        windows_fingerprint(evaluation_windows),
    )
    result = (train_in_processes if training.processes > 1 else train)(
        config,
        TrainingWindows(token_store, manifest, seed, block_shuffle=training.shuffle == "block"),
        training,
        seed,
        name=manifest.run,
        validation=validation,
        on_metrics=tracking.log_measurements,
        checkpoints=Checkpoints(
            checkpoints, manifest.run, identity, training.checkpoints, training.repeat
        ),
    )
    summary = RunSummary(
        run=manifest.run,
        k=manifest.k,
        components=manifest.labels,
        manifest=manifest.fingerprint,
        total_tokens=manifest.total_tokens,
        settings={
            "model": model.model_dump(),
            "training": training.model_dump(exclude={"checkpoints", "parallel_runs", "repeat"}),
        },
        **result.summary,
    )
    return result.model, result.history, summary


def evaluate_model(
    trained: Any,
    summary: RunSummary,
    token_store: TokenStore,
    tokenizer: Tokenizer,
    manifest: Manifest,
    evaluation_windows: pd.DataFrame,
    params: EvaluationParameters,
    training: TrainingParameters,
    checkpoints: Path,
) -> NLLArrays:
    """Measure the NLL of every evaluation window, on the device that training used.

    Kept beside the checkpoints, too: the same code does not measure the same weights twice.
    """
    from ergokedro.design.evaluation_windows import windows_fingerprint
    from ergokedro.progress import progress_bar
    from ergokedro.training.checkpoint import versions
    from ergokedro.training.device import choose_device, cpu_threads, keep_freed_memory
    from ergokedro.training.evaluation import check_weights, evaluate

    check_current(manifest, token_store, tokenizer)
    check_weights(trained, summary, manifest.fingerprint)
    meta = NLLMeta(
        run=manifest.run,
        k=manifest.k,
        seed=summary.seed,
        components=manifest.labels,
        fingerprints=NLLFingerprints(
            manifest=manifest.fingerprint,
            weights=summary.final_weights,
            evaluation_windows=windows_fingerprint(evaluation_windows),
            store=token_store.fingerprint,
            tokenizer=tokenizer.fingerprint,
        ),
        versions=versions(),
    )
    kept = checkpoints / "nll.npz"
    if not training.repeat and (earlier := find_nll(kept, meta)):
        log.info("%s is evaluated already and is not evaluated again", manifest.run)
        return earlier
    keep_freed_memory()
    with (
        cpu_threads(summary.threads),
        progress_bar(
            f"{manifest.run} evaluation", total=len(evaluation_windows), unit="windows"
        ) as bar,
    ):
        nll = evaluate(
            trained.to(choose_device(training.device)),
            token_store.tokens,
            evaluation_windows,
            manifest.window_length,
            params.batch_size,
            bar.update,
        )
    arrays = NLLArrays(nll, meta)
    save_nll(kept, arrays)
    return arrays
