"""The law over a grid of D: known parameters are found, and an unseen D is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.transfer.fitting import fit_law
from ergokedro.analysis.transfer.grid_documents import document_means, document_replicates
from ergokedro.analysis.transfer.over_grid import laws_over_grid, runs_of_grid
from ergokedro.design.nll import Arrays
from transfer_runs import ALPHA, COMPONENTS, REFERENCE, TAU, A, E, equal_shares, law_xe

TOTALS = (1e5, 2e5, 4e5, 8e5)
CHAIN = [(0,), (0, 1), (0, 1, 2)]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Chains of three components at four totals, by the known law; other rows are beside it."""
    rows = []
    for total in TOTALS:
        tokens = equal_shares(CHAIN, (total,), 3)
        for k, (own, xe) in enumerate(zip(tokens, law_xe(tokens), strict=True), start=1):
            for c, name in enumerate(COMPONENTS[:3]):
                trained = own[c] > 0
                value = xe[c] if trained else 9.0
                rows.append((f"D{total}", "tiny", total, f"k{k}", name, trained, total / k, value))
    columns = ["experiment", "preset", "total_tokens", "run", "component", "trained", "tokens"]
    frame = pd.DataFrame(rows, columns=[*columns, "value"])
    return frame.assign(split="test", quantity="xe", series="component")


def test_runs_are_the_chains_of_all_totals(table: pd.DataFrame) -> None:
    runs = runs_of_grid(table)
    assert runs.components == COMPONENTS[:3]
    assert sorted(set(runs.totals.round().astype(int))) == list(TOTALS)
    assert np.nanmax(runs.xe) < 9


def test_the_law_is_found_and_predicts_an_unseen_total(table: pd.DataFrame) -> None:
    (law,) = laws_over_grid(table)
    assert law.fit.estimate("E", "a").interval.value == pytest.approx(E[0], abs=0.02)
    assert law.fit.estimate("alpha", "a").interval.value == pytest.approx(ALPHA[0], abs=0.02)
    errors = law.errors.set_index("law")
    assert errors.relative_error["transfer"] < 0.002
    assert errors.error["transfer"] < errors.error["constant"] / 10


def test_two_totals_have_no_law(table: pd.DataFrame) -> None:
    assert laws_over_grid(table[table.total_tokens < 3e5]) == []


DOCUMENTS = 8


def grid_on_documents(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A grid of two components, the first of which was measured on few documents: table, means.

    Documents are as hard for all runs, to which each adds a little of its own; what they gain from
    more text differs, too. Runs have noise that all documents share.
    """
    rng = np.random.default_rng(seed)
    tokens = equal_shares([(0,), (0, 1)], (1e5, 8e5, 6e6, 5e7, 4e8), 2)
    law = law_xe(tokens)[:, :1]
    level, gain = 0.3 * rng.normal(size=DOCUMENTS), 1 + 0.1 * rng.normal(size=DOCUMENTS)
    xe = E[0] + level + (law - E[0]) * gain + 0.003 * rng.normal(size=law.shape)
    xe += 0.02 * rng.normal(size=xe.shape)
    rows, means = [], []
    for own, by_document in zip(tokens, xe, strict=True):
        run = f"D{own.sum():.0f}", f"k{(own > 0).sum()}"
        rows.append((*run, "a", own[0], by_document.mean()))
        rows += [(*run, "b", own[1], np.nan)] * bool(own[1])
        means += [(*run, c, d, 1, value) for c in "ab" for d, value in enumerate(by_document)]
    table = pd.DataFrame(rows, columns=["experiment", "run", "component", "tokens", "value"])
    columns = ["experiment", "run", "component", "document", "windows", "xe"]
    table = table.assign(split="test", quantity="xe", series="component", trained=True)
    return table, pd.DataFrame(means, columns=columns)


def test_intervals_cover_the_truth_where_the_means_of_documents_are_given() -> None:
    hits: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for trial in range(30):
        table, documents = grid_on_documents(trial)
        for given in (True, False) if trial < 8 else (True,):
            fit = fit_law(runs_of_grid(table, documents if given else None))
            part = A[0] * (fit.references[0] / REFERENCE) ** -ALPHA[0]
            truth = np.array([E[0], part, ALPHA[0], TAU[0, 1]])
            ends = np.array([estimate.interval for estimate in fit.estimates])
            hits[given].append((ends[:, 1] <= truth) & (truth <= ends[:, 2]))
    covered = np.mean(hits[True], axis=0)
    assert covered.min() >= 0.86  # 95 % less 2.2 standard errors of 30 trials
    # All runs share the documents, so that their scatter says nothing of the floor, E.
    assert np.mean(hits[False], axis=0)[0] < 0.5


def test_replicates_have_the_covariance_over_documents() -> None:
    """As often as equal documents: that of their mean. Where runs have some in common: of those."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(6, 3)) + rng.normal(size=(6, 1))
    means[4:, 2] = np.nan  # the third run was measured on four of six documents
    runs = pd.MultiIndex.from_tuples([("x", run) for run in "rst"], names=["experiment", "run"])
    xe = pd.DataFrame({"a": np.nanmean(means, axis=0)}, index=runs)
    documents = pd.DataFrame(
        [("x", run, "a", d, 2, means[d, i]) for i, run in enumerate("rst") for d in range(6)],
        columns=["experiment", "run", "component", "document", "windows", "xe"],
    ).dropna()
    replicates, counts = document_replicates(documents, xe)
    covariance = np.cov(replicates[:, :, 0].T)
    np.testing.assert_allclose(covariance[:2, :2], np.cov(means[:, :2].T) / 6)
    residuals = means[:4] - xe.a.to_numpy()
    shared = (residuals[:, 0] * residuals[:, 2]).sum() / np.sqrt(6 * 5 * 4 * 3)
    np.testing.assert_allclose(covariance[0, 2], shared)
    np.testing.assert_allclose(replicates.mean(axis=0)[:, 0], xe.a)
    assert counts.tolist() == [4]


def test_means_of_documents_are_over_their_windows_of_the_components_in_training() -> None:
    windows = pd.DataFrame(
        [
            ("test", "a", 3),
            ("test", "b", 5),
            ("test", "a", 3),
            ("validation", "a", 9),
            ("test", "a", 4),
        ],
        columns=["split", "component", "document"],
    )
    nll = np.array([[1.0, 3.0], [8.0, 8.0], [3.0, 5.0], [7.0, 7.0]], dtype=np.float32)
    arrays: Any = Arrays({"test": nll}, None)
    runs = pd.DataFrame({"experiment": ["x"], "run": ["k1"], "component": ["a"]})
    means = document_means(runs, {"x": lambda: windows}, {"x/k1": lambda: arrays}, "test")
    assert means.to_numpy().tolist() == [["x", "k1", "a", 3, 2, 3.0], ["x", "k1", "a", 4, 1, 7.0]]
