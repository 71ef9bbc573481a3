"""Pseudo-components: the null is rejected as often as it should be, in simulations and on text."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import StoreMaker, write_range_store
from ergokedro.analysis.contrasts import Replicates, differences
from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.series import Selection
from ergokedro.data.synthetic import make_sources, sample_words
from ergokedro.data.token_store import TokenStore
from ergokedro.design.accounting import token_accounting
from ergokedro.design.evaluation_windows import choose_evaluation_windows
from ergokedro.design.mixture import Design, design_mixtures, make_manifest
from ergokedro.design.runs import Run
from ergokedro.parameters import (
    AnalysisParameters,
    EvaluationParameters,
    MixtureParameters,
    ModelParameters,
    SyntheticParameters,
    TrainingParameters,
)
from ergokedro.training.run import RunSettings, evaluate_run, train_run

HELD_OUT = 12
DOCUMENTS, LENGTH = 240, 20  # training documents of the largest component, tokens in each
KS = [1, 2, 4]


def pseudo_runs(draws: int, seeds: int) -> list[Run]:
    settings = {"pseudo": True, "draws": draws, "seeds": seeds}
    runs = plan_experiment(KS, 2, settings)
    bases = {run.base for run in runs if run.control == "pseudo"}
    return [run for run in runs if run.base in bases]


def training_shares(
    store: TokenStore, part: int, draws: int, seeds: int = 1
) -> dict[Run, np.ndarray]:
    """Pseudo run -> share of its text that each training document of the component has.

    D is one `part`-th of the component's text.
    """
    params = MixtureParameters(top_n=2, window_length=10, total_tokens=DOCUMENTS * LENGTH // part)
    design = design_mixtures(store, token_accounting(store), params)
    index = store.documents("train", design.components[-1]).to_pandas()
    shares = {}
    for run in pseudo_runs(draws, seeds):
        covered = np.zeros(len(index))
        for component in make_manifest(store, design, run).components:
            for first, stop in component.spans:
                ends = np.minimum(stop, index.offset + index.length)
                covered += np.maximum(0, ends - np.maximum(first, index.offset))
        shares[run] = covered / covered.sum()
    return shares


def p_values(replicates: Replicates) -> list[float]:
    """Of K less K = 1."""
    documents = np.arange(next(iter(replicates[1].values())).shape[0])
    zeros = np.zeros(len(documents), dtype=np.int64)
    selection = Selection("test", "component", "b", documents, documents, zeros, True)
    experiment: Any = SimpleNamespace(params=AnalysisParameters())
    return [e.p_value for e in differences(experiment, selection, replicates).values()]


def rejection_rates(shares: dict[Run, np.ndarray], trials: int = 300) -> np.ndarray:
    """How often p is below 5 %, of every K but 1: float64 (Ks,).

    Every training document shifts all held-out documents, and each of them by an amount of its own.
    So does every run by its order of windows.
    """
    rng = np.random.default_rng(0)
    rejected = np.zeros(len(KS) - 1)
    for _ in range(trials):
        effects = rng.normal(size=(DOCUMENTS, 1))
        effects = effects + 0.5 * rng.normal(size=(DOCUMENTS, HELD_OUT))
        replicates: dict[int, dict[tuple[int, int], np.ndarray]] = {k: {} for k in KS}
        for run, share in shares.items():
            nll = share @ effects + 0.1 * rng.normal() + 0.05 * rng.normal(size=HELD_OUT)
            replicates[run.k][run.draw, run.seed_offset] = nll[:, None]
        rejected += np.array(p_values(replicates)) < 0.05
    return rejected / trials


@pytest.fixture
def store(make_store: StoreMaker) -> TokenStore:
    lengths = {("train", "a"): [LENGTH] * 60, ("train", "b"): [LENGTH] * DOCUMENTS}
    return make_store(lengths)


@pytest.mark.parametrize(
    ("part", "draws", "seeds"),
    [(8, 3, 2), (2, 3, 1), (8, 1, 4)],
    ids=["3 draws, 2 seeds", "3 draws with common text", "4 seeds"],
)
def test_the_null_is_rejected_at_the_nominal_rate(
    store: TokenStore, part: int, draws: int, seeds: int
) -> None:
    """The standard error of a rate of 5 % is 1.3 %."""
    shares = training_shares(store, part, draws, seeds)
    rates = rejection_rates(shares)
    assert (rates >= 0.025).all()
    assert (rates <= 0.08).all()


def test_one_run_is_no_null(store: TokenStore) -> None:
    """Its interval does not hold the order of windows."""
    assert (rejection_rates(training_shares(store, 8, 1), 100) > 0.3).all()


TEXT_DRAWS, TEXT_TOTAL, TEXT_WINDOW = 99, 3_000, 25


def synthetic_store(path: Path) -> TokenStore:
    """Two synthetic sources in documents of 50 words; the second has text for all draws."""
    documents = {
        ("train", "a"): [50] * 80,
        ("train", "b"): [50] * (TEXT_DRAWS * (TEXT_TOTAL // 50 + 1)),
        **{(split, label): [50] * 20 for split in ("validation", "test") for label in "ab"},
    }
    params = SyntheticParameters(components=2, words=60)
    words = [
        sample_words(
            make_sources(params)["ab".index(label)], len(lengths), 50, np.random.default_rng(i)
        )
        for i, ((_, label), lengths) in enumerate(documents.items())
    ]
    return write_range_store(path, documents, 60, np.concatenate(words).ravel())


def trained_nll(store: TokenStore, design: Design, run: Run) -> np.ndarray:
    """NLL of the held-out windows of b."""
    windows = choose_evaluation_windows(store, design, EvaluationParameters(windows_per_document=1))
    model = ModelParameters(preset="tiny", hidden_size=16, num_layers=1, num_heads=2)
    training = TrainingParameters(
        epochs=3, batch_size=8, validation_points=2, device="cpu", threads=1, learning_rate=0.01
    )
    manifest = make_manifest(store, design, run)
    trained = train_run(manifest, store, RunSettings(model, training, 0), windows)
    arrays = evaluate_run(trained.model, trained.summary, manifest, store, windows)
    return arrays.nll["test"][(windows[windows.split == "test"].component == "b").to_numpy()]


@pytest.mark.slow
def test_the_null_is_rejected_at_the_nominal_rate_on_synthetic_text(tmp_path: Path) -> None:
    """Of trained models, for many choices of three of the draws.

    The choices share draws, so the rate is less certain than their number suggests.
    """
    store = synthetic_store(tmp_path / "store")
    params = MixtureParameters(top_n=2, window_length=TEXT_WINDOW, total_tokens=TEXT_TOTAL)
    design = design_mixtures(store, token_accounting(store), params)
    nll = {
        (run.k, run.draw): trained_nll(store, design, run)
        for run in pseudo_runs(TEXT_DRAWS, 1)
        if run.k in (1, 4)
    }
    rng = np.random.default_rng(0)
    rejected = []
    for _ in range(3000):
        chosen = rng.choice(TEXT_DRAWS, 3, replace=False)
        (p_value,) = p_values({k: {(d, 0): nll[k, d] for d in chosen} for k in (1, 4)})
        rejected.append(p_value < 0.05)
    print(f"p below 5 % in {np.mean(rejected):.1%} of {len(rejected):,} choices of three draws")
    assert 0.01 <= np.mean(rejected) <= 0.1
