"""A small analysis with a known answer: exact NLL of five sources, and models a little worse."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis import curve_fits
from ergokedro.analysis.bayes_mixture import mixture_nll
from ergokedro.analysis.contrasts import contrasts
from ergokedro.analysis.controls import plan_experiment, read_settings
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.measurement import measure
from ergokedro.analysis.results import all_results
from ergokedro.analysis.series import results_table
from ergokedro.analysis.text_units import text_units
from ergokedro.analysis.training_text import TrainingText
from ergokedro.data.hmm import HiddenMarkovSource, position_nll
from ergokedro.data.synthetic import component_names, make_sources, sample_words
from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.mixture import Component, Design, Manifest
from ergokedro.design.nll import ExactNLL, NLLArrays
from ergokedro.design.records import ExactMeta, NLLFingerprints, NLLMeta, RunSummary
from ergokedro.design.runs import Run, chain, run_name
from ergokedro.parameters import (
    AnalysisParameters,
    ModelParameters,
    SyntheticParameters,
    TrainingParameters,
)

# A picture of one pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
)
NAMES = component_names(5)
DOCUMENTS, WINDOWS, LENGTH = 12, 4, 100
PARAMS = AnalysisParameters(bootstrap=200)
# Excess of the model of K over the exact optimum, on the components that it was trained on, and
# on the others, nats.
EXCESS = {k: 0.0025 * k for k in range(1, 6)}
UNSEEN = 0.2
# What a specialist with less text is worse by, nats.
STARVED = {1: 0.0, 2: 0.002, 3: 0.003, 4: 0.004, 5: 0.005}


def make_windows() -> pd.DataFrame:
    """Evaluation windows of two splits, five components of 12 documents of 4 windows each."""
    rows = [
        (split, name, document * WINDOWS + window)
        for split in ("validation", "test")
        for name in NAMES
        for document in range(DOCUMENTS)
        for window in range(WINDOWS)
    ]
    windows = pd.DataFrame(rows, columns=["split", "component", "start"])
    windows.insert(2, "document", np.arange(len(windows)) // WINDOWS)
    number = np.arange(len(windows))
    return windows.assign(
        start=number * LENGTH,
        document_offset=number % WINDOWS * (LENGTH + number % 7) + number // WINDOWS % 5,
        bytes=3 * LENGTH + number % 11,
    )


def make_design() -> Design:
    """A design of the five components, whose D is 300,000 tokens."""
    return Design(
        components=NAMES,
        tokens=dict.fromkeys(NAMES, 300_300),
        available_windows=dict.fromkeys(NAMES, 3003),
        total_tokens=300_000,
        window_length=LENGTH,
        within_documents=False,
        chosen_by="tokens",
        rankings={"tokens": NAMES[::-1], "documents": NAMES[::-1]},
        reason="the 5 largest by training tokens; ascending by training tokens",
        store="store",
        tokenizer="tokenizer",
    )


def make_manifests() -> list[Manifest]:
    """The manifests of K = 1..5."""
    return [
        Manifest(
            run=run_name(k),
            k=k,
            window_length=LENGTH,
            within_documents=False,
            total_tokens=300_000,
            components=[
                Component(
                    label=name,
                    start=i * 300_300,
                    stop=i * 300_300 + 300_000 // k,
                    windows=3000 // k,
                    available_windows=3003,
                    adjusted=False,
                )
                for i, name in enumerate(NAMES[:k])
            ],
            store="store",
            tokenizer="tokenizer",
        )
        for k in range(1, 6)
    ]


def make_exact(windows: pd.DataFrame) -> ExactNLL:
    """The exact optimum of every K on documents drawn from the default sources."""
    arrays = {}
    for split, nll in _sources_nll(windows).items():
        for name, own in zip(NAMES, nll, strict=True):
            arrays[f"{split}/{name}"] = own[:, 1:].astype(np.float32)
        for k in range(1, 6):
            optimum = mixture_nll(nll[:k], np.full(k, 1 / k))[:, 1:]
            arrays[f"{split}/{run_name(k)}"] = optimum.astype(np.float32)
    return ExactNLL(arrays, ExactMeta(available=True))


def make_text(windows: pd.DataFrame) -> TrainingText:
    """What is known of the windows of :func:`make_exact`: their first words, exactly."""
    first = {split: nll[:, :, 0] for split, nll in _sources_nll(windows).items()}
    return TrainingText(first, dict.fromkeys(NAMES, 0.001))


@cache
def _sources() -> list[HiddenMarkovSource]:
    return make_sources(SyntheticParameters())


def _sources_nll(windows: pd.DataFrame) -> dict[str, np.ndarray]:
    """NLL of every word of every window under each source: float64 (sources, windows, LENGTH)."""
    nll = {}
    for number, (split, here) in enumerate(windows.groupby("split")):
        rng = np.random.default_rng(number)
        each = len(here) // len(_sources())
        words = np.concatenate([sample_words(source, each, LENGTH, rng) for source in _sources()])
        nll[str(split)] = np.stack([position_nll(source, words) for source in _sources()])
    return nll


def make_meta(run: Run, seed: int = 0, **fingerprints: str) -> NLLMeta:
    """What made the arrays of a run."""
    known = dict.fromkeys(NLLFingerprints.model_fields, "")
    return NLLMeta(
        run=run.name,
        k=run.k,
        seed=seed,
        components=[NAMES[position - 1] for position in run.components],
        fingerprints=NLLFingerprints(**{**known, **fingerprints}),
        versions={},
    )


def make_runs(
    windows: pd.DataFrame, exact: ExactNLL, manifests: list[Manifest], shift: float = 0.0
) -> dict[Run, NLLArrays]:
    """Models whose NLL is the optimum plus EXCESS or UNSEEN, plus `shift` and a little noise."""
    runs = {}
    for manifest in manifests:
        rng = np.random.default_rng(manifest.k)
        nll = {}
        for split, here in windows.groupby("split"):
            optimum = exact.nll[f"{split}/{manifest.run}"]
            seen = here.component.isin(manifest.labels).to_numpy()
            noise = rng.normal(scale=0.01, size=(len(here), 1)) + shift
            worse = np.where(seen, EXCESS[manifest.k], UNSEEN)[:, None]
            nll[str(split)] = (optimum + worse + noise).astype(np.float32)
        meta = make_meta(
            chain(manifest.k),
            evaluation_windows=windows_fingerprint(windows),
            manifest=manifest.fingerprint,
            weights=f"weights of {manifest.run}",
        )
        runs[chain(manifest.k)] = NLLArrays(nll, meta)
    return runs


UNKNOWN = ExactNLL({}, ExactMeta(available=False))


def make_experiment(
    nll: dict[Run, NLLArrays],
    windows: pd.DataFrame | None = None,
    exact: ExactNLL = UNKNOWN,
    text: TrainingText | None = None,
    **settings: Any,
) -> Experiment:
    """The runs as the analysis takes them; `settings` are those of the controls."""
    return Experiment(
        make_design(),
        make_windows() if windows is None else windows,
        nll,
        exact,
        PARAMS,
        read_settings(settings),
        text=text,
    )


def make_summary(manifest: Manifest, **changes: Any) -> RunSummary:
    """What training says of a run."""
    fields = {
        "run": manifest.run,
        "k": manifest.k,
        "components": manifest.labels,
        "manifest": manifest.fingerprint,
        "total_tokens": manifest.total_tokens,
        "seed": 0,
        "steps": 752,
        "tokens_seen": 1_200_000,
        "epochs": 4,
        "batch_size": 16,
        "parameters": 494_848,
        "initial_weights": "1" * 64,
        "final_weights": f"weights of {manifest.run}",
        "settings": {
            "model": ModelParameters().model_dump(),
            "training": TrainingParameters().model_dump(),
        },
        "schedule": "2" * 64,
        "final_train_loss": 2.6,
        "loss_spikes": 0,
        "nonfinite_steps": 0,
        "gradient_norm_median": 0.3,
        "gradient_norm_max": 2.5,
        "seconds": 40.0,
        "tokens_per_second": 30_000.0,
        "device": "cpu",
        "threads": 2,
    }
    return RunSummary(**{**fields, **changes})


def make_history(k: int) -> pd.DataFrame:
    """Curves that fall from log 512 to about 2.6 nats; components not trained on stay higher."""
    rows: list[tuple[int, int, str, str, float]] = []
    for step in np.linspace(0, 752, 11).astype(int).tolist():
        fall = (np.log(512) - 2.6) * np.exp(-step / 60)
        for i, name in enumerate(NAMES):
            value = 2.6 + fall + 0.005 * k + (UNSEEN if i >= k else 0)
            rows.append((step, step * 1600, "validation_xe", name, value))
    rng = np.random.default_rng(k)
    for step in np.linspace(0, 752, 201).astype(int).tolist()[1:]:
        value = 2.6 + (np.log(512) - 2.6) * np.exp(-step / 60) + rng.normal(scale=0.02)
        rows.append((step, step * 1600, "train_loss", "", value))
    return pd.DataFrame(rows, columns=["step", "tokens", "metric", "component", "value"])


def make_results(known: bool = True, ks: tuple[int, ...] = (1, 2, 3, 4, 5)) -> pd.DataFrame:
    """The results of some runs, with or without a known optimum."""
    return _results(known, ks).copy()


@cache
def _results(known: bool, ks: tuple[int, ...]) -> pd.DataFrame:
    windows = make_windows()
    exact = make_exact(windows)
    runs = make_runs(windows, exact, [m for m in make_manifests() if m.k in ks])
    experiment = make_experiment(runs, windows, exact if known else UNKNOWN)
    return results_table([*measure(experiment), *text_units(experiment), *contrasts(experiment)])


def make_specialists(windows: pd.DataFrame, exact: ExactNLL) -> dict[Run, NLLArrays]:
    """All runs: specialists are the exact sources, shifted by STARVED; models of K as made here."""
    models = make_runs(windows, exact, make_manifests())
    arrays = {}
    settings = {"specialists": True, "specialist_form": "grid", "specialist_epochs": "1"}
    for run in plan_experiment([1, 2, 3, 4, 5], 5, settings):
        if run.in_chain and run.k > 1:  # K = 1 is the specialist of the first component
            arrays[run] = models[run]
            continue
        name = NAMES[run.components[0] - 1]
        own = {s: exact.nll[f"{s}/{name}"] + STARVED[run.divisor] for s in ("validation", "test")}
        arrays[run] = NLLArrays(own, make_meta(run))
    return arrays


def make_all_results() -> pd.DataFrame:
    """Everything that the analysis measures on the chain and its specialists."""
    return _all_results().copy()


@cache
def _all_results() -> pd.DataFrame:
    windows = make_windows()
    exact = make_exact(windows)
    runs = make_specialists(windows, exact)
    experiment = make_experiment(runs, windows, exact, specialists=True, specialist_form="grid")
    summaries = {chain(m.k): make_summary(m) for m in make_manifests()}
    histories = {chain(m.k): make_history(m.k) for m in make_manifests()}
    # The level at which the curve of K = 5 ends; all others end below.
    smallest = histories[chain(5)].query(f"component == {NAMES[0]!r}")
    level = float(smallest.value.iloc[-1])
    experiment = replace(experiment, params=PARAMS.model_copy(update={"level": level}))
    with pytest.MonkeyPatch.context() as patch:  # whose intervals are tested elsewhere
        patch.setattr(curve_fits, "_REPLICATES", 10)
        results = all_results(experiment, histories, summaries)
    results.loc[results.quantity == "starvation", "note"] = ""  # as of the best specialists
    return results
