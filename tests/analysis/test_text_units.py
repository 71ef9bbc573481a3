"""Bits per byte and L by position in the document: ratios of sums, with their intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.controls.subsets import CONTROL as SUBSETS
from ergokedro.analysis.series import results_table
from ergokedro.analysis.text_units import document_bins, text_units
from ergokedro.design.nll import NLLArrays
from ergokedro.design.runs import Run, chain
from synthetic_results import LENGTH, NAMES, make_experiment, make_meta, make_windows

WINDOWS = make_windows()


def nll_of(run: Run, seed: int = 0) -> NLLArrays:
    rng = np.random.default_rng([seed, run.k])
    arrays = {
        str(split): rng.gamma(2.0, size=(len(here), LENGTH - 1)).astype(np.float32)
        for split, here in WINDOWS.groupby("split")
    }
    return NLLArrays(arrays, make_meta(run))


def rows_of(results: pd.DataFrame, quantity: str, series: str, k: int) -> pd.DataFrame:
    here = (results.quantity == quantity) & (results.series == series) & (results.k == k)
    return results[here & (results.split == "test")]


@pytest.fixture(scope="module")
def runs() -> dict[Run, NLLArrays]:
    return {chain(k): nll_of(chain(k)) for k in (1, 2)}


@pytest.fixture(scope="module")
def results(runs: dict[Run, NLLArrays]) -> pd.DataFrame:
    return results_table(text_units(make_experiment(runs, WINDOWS)))


TEST = WINDOWS[WINDOWS.split == "test"].reset_index(drop=True)


def test_bits_per_byte_are_sums_over_sums(
    results: pd.DataFrame, runs: dict[Run, NLLArrays]
) -> None:
    bits = runs[chain(2)].nll["test"].sum(axis=1, dtype=np.float64) / np.log(2)
    expected = {}
    for name in NAMES:
        here = (TEST.component == name).to_numpy()
        expected[name] = bits[here].sum() / TEST["bytes"][here].sum()
    table = rows_of(results, "bits_per_byte", "component", 2).set_index("component")
    assert table.value.to_dict() == pytest.approx(expected)
    assert table.trained.to_dict() == {name: name in NAMES[:2] for name in NAMES}
    (whole,) = rows_of(results, "bits_per_byte", "all", 2).value
    assert whole == pytest.approx(np.mean(list(expected.values())))
    assert set(table.unit) == {"bits per byte"}


def test_intervals_are_those_of_the_ratio_estimator(
    results: pd.DataFrame, runs: dict[Run, NLLArrays]
) -> None:
    """By the delta method: the variance of the documents' residuals over the total of bytes."""
    here = TEST.component == NAMES[0]
    bits = runs[chain(1)].nll["test"].sum(axis=1, dtype=np.float64) / np.log(2)
    sums = pd.DataFrame({"bits": bits, "bytes": TEST["bytes"]})[here].groupby(TEST.document).sum()
    ratio = sums.bits.sum() / sums["bytes"].sum()
    residuals = sums.bits - ratio * sums["bytes"]
    n = len(sums)
    expected = np.sqrt((residuals**2).sum() * n / (n - 1)) / sums["bytes"].sum()
    row = rows_of(results, "bits_per_byte", "component", 1).set_index("component").loc[NAMES[0]]
    assert row.standard_error == pytest.approx(expected, rel=0.03)
    assert row.low < row.value < row.high


def test_equal_bytes_make_bits_a_multiple_of_nats(runs: dict[Run, NLLArrays]) -> None:
    windows = WINDOWS.assign(bytes=300)
    table = results_table(text_units(make_experiment(runs, windows)))
    (bits,) = rows_of(table, "bits_per_byte", "all", 1).value
    nats = runs[chain(1)].nll["test"].mean(dtype=np.float64)
    assert bits == pytest.approx(nats / np.log(2) * (LENGTH - 1) / 300)


def test_every_token_counts_at_its_position_in_the_document(
    results: pd.DataFrame, runs: dict[Run, NLLArrays]
) -> None:
    nll = runs[chain(1)].nll["test"].astype(np.float64)
    position = TEST.document_offset.to_numpy()[:, None] + np.arange(2, LENGTH + 1)
    here = (TEST.component == NAMES[0]).to_numpy()
    found = rows_of(results, "in_document_xe", "smallest", 1).set_index("position")
    last = int(position[here].max())
    expected = {}
    for first, stop in document_bins(last):
        inside = (position >= first) & (position < stop) & here[:, None]
        if inside.any():
            expected[round(np.sqrt(first * (stop - 1)))] = nll[inside].mean()
    assert found.value.to_dict() == pytest.approx(expected)
    assert len(expected) > 5
    assert (found.low < found.value).all()


def test_bins_hold_every_position_once() -> None:
    for last in (2, 3, 7, 8, 1000):
        positions = [p for first, stop in document_bins(last) for p in range(first, stop)]
        assert positions == list(range(2, last + 1))


def test_a_bin_without_one_of_the_components_is_left_out(runs: dict[Run, NLLArrays]) -> None:
    """The curve of the chain would otherwise jump where the longer component is alone."""
    late = WINDOWS.component.isin(NAMES[1:]) & (WINDOWS.document_offset > 0)
    far = WINDOWS.assign(document_offset=WINDOWS.document_offset + 5000 * late)
    table = results_table(text_units(make_experiment(runs, far)))
    assert rows_of(table, "in_document_xe", "chain", 2).position.max() < 2000


@pytest.mark.parametrize("draws", [1, 3])
def test_balanced_sets_have_bits_per_byte(draws: int) -> None:
    settings: dict[str, Any] = {"subsets": "cyclic", "draws": draws}
    runs = {}
    for plan in SUBSETS.runs([1, 2, 3, 4, 5], 5, {"subsets": "cyclic"}):
        for draw in range(draws):
            run = replace(plan, draw=draw, draws=draws if draw else 1)
            runs[run] = nll_of(run, draw)
    runs[chain(1)] = nll_of(chain(1))
    table = results_table(SUBSETS.rows(make_experiment(runs, WINDOWS, **settings)))
    bits = rows_of(table, "bits_per_byte", "balanced", 5)
    assert len(bits) == 1
    assert bits.draws.item() == draws
    (whole,) = [run for run in runs if run.k == 5 and run.draw == 0]
    if draws == 1:
        sums = runs[whole].nll["test"].sum(axis=1, dtype=np.float64) / np.log(2)
        each = [sums[TEST.component == n].sum() / TEST["bytes"][TEST.component == n].sum()
                for n in NAMES]  # fmt: skip
        assert bits.value.item() == pytest.approx(np.mean(each))
