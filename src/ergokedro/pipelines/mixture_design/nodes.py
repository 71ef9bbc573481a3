"""Nodes from the token store to one manifest per K and the evaluation windows.

Kedro reads the annotations when it starts, so they name no class of a slow library.
"""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from ergokedro.analysis.controls import plan_experiment
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design import descriptions, evaluation_windows, mixture
from ergokedro.design.accounting import token_accounting
from ergokedro.design.mixture import Design, Manifest
from ergokedro.design.token_bytes import predicted_bytes
from ergokedro.parameters import (
    EvaluationParameters,
    MixtureParameters,
    TrainingParameters,
    parse_k,
)

log = logging.getLogger(__name__)


def account_tokens(token_store: TokenStore) -> pd.DataFrame:
    """Documents and tokens per split and category, before and after cleaning."""
    return token_accounting(token_store)


def design_mixtures(
    token_store: TokenStore,
    tokenizer: Tokenizer,
    accounting: pd.DataFrame,
    params: MixtureParameters,
) -> Design:
    """Choose the components, their order and the budget that every K shares."""
    mixture.check_tokenizer(token_store, tokenizer)
    design = mixture.design_mixtures(token_store, accounting, params)
    log.info(descriptions.describe(design))
    return design


def tabulate_budgets(design: Design) -> pd.DataFrame:
    """What every K up to the number of components would train on."""
    return descriptions.tabulate_budgets(design)


def make_manifests(
    token_store: TokenStore, design: Design, k: Any, controls: dict[str, Any]
) -> list[Manifest]:
    """Write down what the model of each run trains on."""
    n_components = len(design.components)
    runs = plan_experiment(parse_k(k, n_components), n_components, controls)
    manifests = [mixture.make_manifest(token_store, design, run) for run in runs]
    for line in descriptions.describe_texts(manifests):
        log.info(line)
    return manifests


def choose_evaluation_windows(
    token_store: TokenStore,
    tokenizer: Tokenizer,
    design: Design,
    params: EvaluationParameters,
    training: TrainingParameters,
) -> pd.DataFrame:
    """Choose the held-out windows on which every model is measured."""
    windows = evaluation_windows.choose_evaluation_windows(
        token_store, design, params, design.total_tokens * training.epochs
    )
    log.info(evaluation_windows.describe_windows(windows, token_store, design))
    starts = windows.start.to_numpy()
    return windows.assign(
        bytes=predicted_bytes(token_store, tokenizer, starts, design.window_length)
    )
