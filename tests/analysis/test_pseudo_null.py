"""Pseudo-components: a valid null with several draws of the training text, and not with one.

Runs are simulated from the text that their manifests give them: every training document shifts
all held-out documents, and each of them by an amount of its own. A run's NLL is the mean over its
training text, so that runs which share text share chance, as K = 1 and its parts do.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from conftest import StoreMaker
from ergokedro.analysis.contrasts import differences
from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.series import Selection
from ergokedro.data.token_store import TokenStore
from ergokedro.design.accounting import token_accounting
from ergokedro.design.mixture import design_mixtures, make_manifest
from ergokedro.design.runs import Run
from ergokedro.parameters import AnalysisParameters, MixtureParameters

TRIALS, HELD_OUT, WINDOW = 400, 12, 10
DOCUMENTS, LENGTH = 240, 20  # training documents of the largest component, tokens in each
KS = [1, 2, 4]


def training_shares(store: TokenStore, total_tokens: int, draws: int) -> dict[Run, np.ndarray]:
    """Pseudo run -> share of its text that each training document of the component has."""
    params = MixtureParameters(top_n=2, window_length=WINDOW, total_tokens=total_tokens)
    design = design_mixtures(store, token_accounting(store), params)
    index = store.documents("train", design.components[-1]).to_pandas()
    shares = {}
    for run in plan_experiment(KS, 2, {"pseudo": True, "draws": draws}):
        if run.control != "pseudo":
            continue
        covered = np.zeros(len(index))
        for component in make_manifest(store, design, run).components:
            for first, stop in component.spans:
                ends = np.minimum(stop, index.offset + index.length)
                covered += np.maximum(0, ends - np.maximum(first, index.offset))
        shares[run] = covered / covered.sum()
    return shares


def rejection_rates(shares: dict[Run, np.ndarray], independent: int = 1) -> dict[int, float]:
    """K -> how often K less K = 1 has p below 5 %, although K means nothing.

    Parameters
    ----------
    independent : so many times the runs are repeated on other documents, each as a draw.
    """
    rng = np.random.default_rng(0)
    documents = np.arange(HELD_OUT)
    zeros = np.zeros(HELD_OUT, dtype=np.int64)
    selection = Selection("test", "component", "b", documents, documents, zeros, True)
    experiment: Any = SimpleNamespace(params=AnalysisParameters())
    rejected = dict.fromkeys(KS[1:], 0)
    for _ in range(TRIALS):
        replicates: dict[int, dict[tuple[int, int], np.ndarray]] = {k: {} for k in KS}
        for text in range(independent):
            effects = rng.normal(size=(DOCUMENTS, 1))
            effects = effects + 0.5 * rng.normal(size=(DOCUMENTS, HELD_OUT))
            for run, share in shares.items():
                nll = share @ effects + 0.01 * rng.normal(size=HELD_OUT)
                replicates[run.k][run.draw + text, 0] = nll[:, None]
        for k, estimate in differences(experiment, selection, replicates).items():
            rejected[k] += estimate.p_value < 0.05
    return {k: count / TRIALS for k, count in rejected.items()}


@pytest.fixture
def store(make_store: StoreMaker) -> TokenStore:
    lengths = {("train", "a"): [LENGTH] * 60, ("train", "b"): [LENGTH] * DOCUMENTS}
    return make_store(lengths)


def test_the_parts_share_one_kth_of_the_text_of_k_1(store: TokenStore) -> None:
    """Where K = 1 takes all of the component; so the chance of the difference grows with K."""
    shares = training_shares(store, DOCUMENTS * LENGTH // 8, 1)
    base = next(share for run, share in shares.items() if run.k == 1)
    for run, share in shares.items():
        assert share.sum() == pytest.approx(1)
        if run.k > 1:
            assert np.minimum(share, base).sum() == pytest.approx(1 / run.k, abs=0.01)


@pytest.mark.parametrize("draws", [3, 6])
def test_independent_draws_reject_at_the_nominal_rate(store: TokenStore, draws: int) -> None:
    """The parts share 1 / K of the text of K = 1, of the same draw alone. The standard error of a
    rate of 5 % is 1.1 %."""
    shares = training_shares(store, DOCUMENTS * LENGTH // 8, 1)
    for rate in rejection_rates(shares, draws).values():
        assert 0.02 <= rate <= 0.085


@pytest.mark.parametrize(("part", "draws"), [(8, 3), (4, 4)])
def test_draws_of_one_text_reject_no_more_often(store: TokenStore, part: int, draws: int) -> None:
    """Parts also share text with K = 1 of other draws, which makes the test err on the safe
    side: the mean over draws varies less than the differences of the draws say."""
    shares = training_shares(store, DOCUMENTS * LENGTH // part, draws)
    for rate in rejection_rates(shares).values():
        assert rate <= 0.07


def test_one_draw_is_no_null(store: TokenStore) -> None:
    """Its interval does not hold which documents the runs were trained on."""
    for rate in rejection_rates(training_shares(store, DOCUMENTS * LENGTH // 8, 1)).values():
        assert rate > 0.3
