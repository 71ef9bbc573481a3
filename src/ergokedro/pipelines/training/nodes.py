"""Nodes that train and evaluate the model of one run.

torch is imported when they run. Kedro turns parameters into their models by the annotations, all
of which must therefore be importable: a torch module is `Any` here.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from ergokedro.data.corpus import Corpus
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.mixture import Design, Manifest, check_current
from ergokedro.design.nll import NLLArrays, ReferenceNLL, check_measured
from ergokedro.design.records import Reference, RunSummary
from ergokedro.design.references import reference_runs
from ergokedro.models.factory import MODELS
from ergokedro.parameters import (
    EvaluationParameters,
    ModelParameters,
    Parameters,
    TrainingParameters,
)
from ergokedro.runtime import tracking
from ergokedro.runtime.config_loader import changed_settings, project_folder

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
    """Train a model on what the manifest says, or resume it from the folder `checkpoints`."""
    from ergokedro.training.run import RunSettings, train_run

    check_current(manifest, token_store, tokenizer)
    trained = train_run(
        manifest,
        token_store,
        RunSettings(model, training, seed),
        evaluation_windows,
        checkpoints=checkpoints,
        on_metrics=tracking.log_measurements,
    )
    if trained.reused:
        tracking.tag("reused", "true")
    return trained.model, trained.history, trained.summary


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

    The arrays are also kept beside the checkpoints, where the same command finds them again.
    """
    from ergokedro.training.run import evaluate_run

    check_current(manifest, token_store, tokenizer)
    return evaluate_run(
        trained,
        summary,
        manifest,
        token_store,
        evaluation_windows,
        batch_size=params.batch_size,
        device=training.device,
        kept=_kept_nll(checkpoints, training),
    )


def describe_model(
    summary: RunSummary,
    manifest: Manifest,
    nll: NLLArrays,
    evaluation_windows: pd.DataFrame,
    design: Design,
    tokenizer: Tokenizer,
    parameters: dict[str, Any],
) -> dict[str, str]:
    """The files that complete the model's directory: its card, tokenizer, generation settings.

    Raises
    ------
    ErgokedroError
        If the NLL was measured with another model or tokenizer.
    """
    from ergokedro.analysis.measurement import run_xe
    from ergokedro.reporting.model_card import ModelCard, directory_files

    check_measured(nll, summary, tokenizer)
    settings = Parameters.model_validate(parameters)
    card = ModelCard(
        summary,
        manifest,
        run_xe(nll, evaluation_windows, design, manifest.labels, settings.analysis),
        settings.corpus.source,
        changed_settings(settings),
        tracking.git_commit(project_folder()),
        MODELS[settings.model.architecture].in_transformers,
    )
    if not card.in_transformers:
        log.info("%s: transformers has no form of this model; it is saved as weights", summary.run)
    return directory_files(card, tokenizer)


def open_references(names: list[str]) -> list[Reference]:
    """Find the published models, before anything is trained."""
    from ergokedro.training.references import open_reference

    return [open_reference(name) for name in reference_runs(names).values()]


def evaluate_reference(
    reference: Reference,
    corpus: Corpus,
    token_store: TokenStore,
    tokenizer: Tokenizer,
    design: Design,
    evaluation_windows: pd.DataFrame,
    params: EvaluationParameters,
    training: TrainingParameters,
    checkpoints: Path,
) -> ReferenceNLL:
    """Measure a published model on every evaluation window, on the device that training uses."""
    from ergokedro.training.references import evaluate_reference as evaluate

    return evaluate(
        reference,
        corpus,
        token_store,
        tokenizer,
        evaluation_windows,
        design.window_length,
        batch_size=params.batch_size,
        device=training.device,
        kept=_kept_nll(checkpoints, training),
    )


def _kept_nll(checkpoints: Path, training: TrainingParameters) -> Path:
    """Where a run's own arrays are found again; `training.repeat` deletes those that are there."""
    kept = checkpoints / "nll.npz"
    if training.repeat:
        kept.unlink(missing_ok=True)
    return kept
