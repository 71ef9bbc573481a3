"""Rows, lines and table of published models, from arrays with a known answer."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.contrasts import contrasts
from ergokedro.analysis.measurement import measure
from ergokedro.analysis.references import check_references, references
from ergokedro.analysis.series import results_table
from ergokedro.analysis.text_units import text_units
from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.nll import ReferenceNLL, load_nll, save_nll
from ergokedro.design.records import NLLFingerprints, ReferenceMeta
from ergokedro.errors import ErgokedroError
from ergokedro.reporting.figures.chart import Curve
from ergokedro.reporting.figures.in_context_xe import plot_in_context_xe
from ergokedro.reporting.figures.xe_by_k import plot_xe_by_k
from ergokedro.reporting.references import reference_rows
from synthetic_results import (
    NAMES,
    make_exact,
    make_experiment,
    make_manifests,
    make_runs,
    make_windows,
)

SAME, OTHER = "references.same", "references.other"
# Nats per token of the model with the same tokenizer: by component, falling with the position.
LEVELS = 2.3 + 0.1 * np.arange(1, 6)


def make_references(windows: pd.DataFrame) -> dict[str, ReferenceNLL]:
    """One model that reads the same tokens, and one that reads others and costs 9 nats a token."""
    fingerprints = NLLFingerprints(
        manifest="",
        weights="w",
        evaluation_windows=windows_fingerprint(windows),
        store="store",
        tokenizer="tokenizer",
    )
    made = {}
    for name, same in ((SAME, True), (OTHER, False)):
        meta = ReferenceMeta(
            name=name,
            revision="",
            model_type="gpt_neox",
            parameters=5,
            same_tokens=same,
            fingerprints=fingerprints,
            versions={},
        )
        nll = {
            str(split): values(rows.component) if same else np.full((len(rows), 99), 9.0, "f4")
            for split, rows in windows.groupby("split")
        }
        made[name] = ReferenceNLL(nll, meta)
    return made


def values(components: pd.Series) -> np.ndarray:
    levels = LEVELS[[NAMES.index(name) for name in components]]
    return np.asarray(levels[:, None] + np.linspace(0.5, -0.5, 99), np.float32)


@cache
def results() -> pd.DataFrame:
    windows = make_windows()
    exact = make_exact(windows)
    runs = make_runs(windows, exact, [m for m in make_manifests() if m.k in (2, 3)])
    experiment = make_experiment(runs, windows, exact)
    experiment = replace(experiment, references=make_references(windows))
    parts = measure(experiment), text_units(experiment), contrasts(experiment)
    return results_table([*(row for part in parts for row in part), *references(experiment)])


def rows_of(run: str, quantity: str, **columns: Any) -> pd.DataFrame:
    rows = results()
    rows = rows[(rows.series == "reference") & (rows.run == run) & (rows.split == "test")]
    for column, value in columns.items():
        rows = rows[rows[column] == value]
    return rows[rows.quantity == quantity]


def test_means_are_over_components_as_for_the_runs() -> None:
    together = rows_of(SAME, "xe", component="")
    assert dict(zip(together.k, together.value.round(5), strict=True)) == {
        1: 2.4, 2: 2.45, 3: 2.5, 5: 2.6,
    }  # fmt: skip
    each = rows_of(SAME, "xe").query("component != ''")
    assert each.component.to_list() == NAMES
    np.testing.assert_allclose(each.value, LEVELS, rtol=1e-6)
    assert not results().trained[results().series == "reference"].any()
    curve = rows_of(SAME, "in_context_xe", k=2)
    assert curve.position.to_list() == list(range(2, 101))
    np.testing.assert_allclose(curve.value, 2.45 + np.linspace(0.5, -0.5, 99), rtol=1e-6)


def test_bits_per_byte_are_of_the_bytes_of_the_windows() -> None:
    windows = make_windows().query("split == 'test'")
    for name in NAMES:
        size = windows["bytes"][windows.component == name].sum()
        n = (windows.component == name).sum()
        (row,) = rows_of(OTHER, "bits_per_byte", component=name).itertuples()
        assert row.value == pytest.approx(9 * 99 * n / math.log(2) / size, rel=1e-6)
        assert row.unit == "bits per byte"


def test_the_note_says_that_tokens_are_others() -> None:
    assert set(rows_of(SAME, "xe").note) == {""}
    assert all("per token of this experiment" in note for note in rows_of(OTHER, "xe").note)


def test_figures_have_a_line_for_each_that_is_near_and_name_the_others() -> None:
    chart = plot_xe_by_k(results())
    lines = {part.label: part for part in chart.parts if isinstance(part, Curve)}
    assert lines["same"].x.tolist() == [2, 3]
    np.testing.assert_allclose(lines["same"].value, [2.45, 2.5], rtol=1e-5)
    assert "other" not in lines
    assert "other: 9.000, outside" in chart.note
    contexts = plot_in_context_xe(results())
    (line,) = [part for part in contexts.parts if isinstance(part, Curve) and part.label == "same"]
    expected = rows_of(SAME, "binned_in_context_xe", k=1)
    np.testing.assert_array_equal(line.value, expected.value)


def test_the_table_of_the_report() -> None:
    same, other = reference_rows(results())
    assert (same.name, same.same_tokens, other.name, other.same_tokens) == (
        "same", True, "other", False,
    )  # fmt: skip
    assert (same.smallest.value, same.together.value) == pytest.approx((2.4, 2.6))
    assert other.together_bits.value > other.together.value / math.log(2) / 5
    assert reference_rows(results()[results().series != "reference"]) == []


def test_other_windows_are_refused(tmp_path: Any) -> None:
    windows = make_windows()
    measured = make_references(windows)
    save_nll(tmp_path / "nll.npz", measured[SAME])
    assert load_nll(tmp_path / "nll.npz").meta == measured[SAME].meta
    check_references(measured, windows, "store")
    for other in ((windows.iloc[1:], "store"), (windows, "other")):
        with pytest.raises(ErgokedroError, match=r"references\.same are stale"):
            check_references(measured, *other)
