"""The alarm: held-out text in training, or a model that sees the future, must not pass."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch

from architectures import NAMES, see_the_next_token, settings
from ergokedro.analysis.checks import acceptance
from ergokedro.analysis.exact_optimum import exact_nll
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.measurement import measure
from ergokedro.analysis.series import results_table
from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import define_tokenizer, save_tokenizer
from ergokedro.design.accounting import token_accounting
from ergokedro.design.evaluation_windows import choose_evaluation_windows
from ergokedro.design.mixture import (
    Design,
    Manifest,
    design_mixtures,
    make_manifest,
)
from ergokedro.design.nll import ExactNLL
from ergokedro.design.runs import chain
from ergokedro.models.transformers_models.architecture import TransformersArchitecture
from ergokedro.models.transformers_models.modules import TransformersModel
from ergokedro.parameters import (
    AnalysisParameters,
    CorpusParameters,
    EvaluationParameters,
    MixtureParameters,
    ModelParameters,
    SyntheticParameters,
    TokenizerParameters,
    TrainingParameters,
)
from ergokedro.training.run import RunSettings, evaluate_run, train_run

LENGTH = 20
CORPUS = CorpusParameters(
    synthetic=SyntheticParameters(
        components=2,
        states=2,
        words=12,
        words_per_document=100,
        train_documents=30,
        heldout_documents=4,
    )
)
TRAINING = TrainingParameters(
    epochs=2, batch_size=16, validation_points=1, validation_windows=1, device="cpu", threads=1
)


class Case(NamedTuple):
    store: TokenStore
    design: Design
    windows: pd.DataFrame
    exact: ExactNLL


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    path = tmp_path_factory.mktemp("leaks")
    corpus = write_corpus(path / "corpus", corpus_stream(CORPUS))
    documents = clean_documents(corpus)
    definition = define_tokenizer(TokenizerParameters(vocab_size=450), corpus, documents)
    tokenizer = save_tokenizer(path / "tokenizer", definition)
    store = write_store(path / "store", TokenizationPlan(corpus, documents, tokenizer, 0))
    mixture = MixtureParameters(top_n=2, window_length=LENGTH)
    design = design_mixtures(store, token_accounting(store), mixture)
    windows = choose_evaluation_windows(store, design, EvaluationParameters())
    return Case(store, design, windows, exact_nll(store, tokenizer, windows, design, CORPUS))


SMALL = ModelParameters(hidden_size=64, num_layers=1)


def no_leak_checks(
    case: Case, manifest: Manifest, model: ModelParameters = SMALL, **changes: Any
) -> pd.Series:
    """Train, evaluate, and give whether the checks for leaks passed."""
    run = RunSettings(model, TRAINING.model_copy(update=changes))
    trained = train_run(manifest, case.store, run, case.windows)
    arrays = evaluate_run(trained.model, trained.summary, manifest, case.store, case.windows)
    runs = {chain(2): arrays}
    params = AnalysisParameters(bootstrap=200)
    experiment = Experiment(case.design, case.windows, runs, case.exact, params, {})
    table = acceptance(results_table(measure(experiment)), bounds={})
    return table.passed[table.check.str.contains("no leak")]


def test_honest_training_passes(case: Case) -> None:
    assert no_leak_checks(case, make_manifest(case.store, case.design, chain(2))).all()


def test_held_out_text_in_training_trips_the_alarm(case: Case) -> None:
    manifest = make_manifest(case.store, case.design, chain(2))
    leaked = []
    for component in manifest.components:
        start, stop = case.store.span("test", component.label)
        windows = (stop - start) // LENGTH
        span = {"start": start, "stop": start + windows * LENGTH, "windows": windows}
        leaked.append(component.model_copy(update=span))
    manifest = manifest.model_copy(update={"components": leaked})
    assert not no_leak_checks(case, manifest, epochs=80, learning_rate=1e-2).any()


def test_a_mask_that_is_not_causal_trips_the_alarm(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    attention = torch.nn.functional.scaled_dot_product_attention

    def sees_the_future(*args: Any, **kwargs: Any) -> torch.Tensor:
        return attention(*args, **{**kwargs, "is_causal": False})

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", sees_the_future)
    manifest = make_manifest(case.store, case.design, chain(2))
    assert not no_leak_checks(case, manifest, epochs=16, learning_rate=5e-3).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_other_architectures_trip_the_alarm(
    case: Case, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With a leak planted after the check at the start, which would refuse the model."""
    manifest = make_manifest(case.store, case.design, chain(2))
    protocol = {"epochs": 32, "learning_rate": 1e-2}
    assert no_leak_checks(case, manifest, settings(name), **protocol).all()
    build = TransformersArchitecture.build

    def leaking(self: TransformersArchitecture, config: dict[str, Any]) -> TransformersModel:
        model = build(self, config)
        see_the_next_token(model)
        return model

    monkeypatch.setattr(TransformersArchitecture, "build", leaking)
    assert not no_leak_checks(case, manifest, settings(name), **protocol).any()
