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
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.measurement import measure
from ergokedro.analysis.references import check_references, less_runs, references
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
from made_reports import sentences
from synthetic_results import (
    NAMES,
    make_exact,
    make_experiment,
    make_manifests,
    make_results,
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
def experiment_of_two() -> Experiment:
    """K = 2 and K = 3, and both models."""
    windows = make_windows()
    exact = make_exact(windows)
    runs = make_runs(windows, exact, [m for m in make_manifests() if m.k in (2, 3)])
    experiment = make_experiment(runs, windows, exact)
    return replace(experiment, references=make_references(windows))


@cache
def results() -> pd.DataFrame:
    experiment = experiment_of_two()
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


def less_runs_of(name: str, quantity: str, **columns: Any) -> pd.DataFrame:
    rows = results().query("split == 'test' and run == @name and quantity == @quantity")
    for column, value in columns.items():
        rows = rows[rows[column] == value]
    return rows


def test_models_are_compared_with_the_runs_of_every_k() -> None:
    xe = results().query("split == 'test' and quantity == 'xe' and series != 'reference'")
    for series in ("chain", "smallest", "all"):
        for k in (2, 3):
            (row,) = less_runs_of(SAME, "xe_less_run", series=series, k=k).itertuples()
            on = {"chain": k, "smallest": 1, "all": 5}[series]
            run = xe.query("series == @series and k == @k").value.item()
            assert row.value == pytest.approx(LEVELS[:on].mean() - run, rel=1e-5)
            assert row.trained == (series != "all")
            assert row.low < row.value < row.high
    assert less_runs_of(OTHER, "xe_less_run").empty
    bits = results().query("split == 'test' and quantity == 'bits_per_byte' and series == 'all'")
    for name in (SAME, OTHER):
        (row,) = less_runs_of(name, "bits_per_byte_less_run", series="all", k=3).itertuples()
        own = rows_of(name, "bits_per_byte", component="", k=5).value.item()
        assert row.value == pytest.approx(own - bits[bits.k == 3].value.item(), rel=1e-5)
        assert row.unit == "bits per byte"


def test_differences_are_paired_by_window() -> None:
    """A model that costs 0.25 nats more than the run at every token has no interval around it."""
    experiment = experiment_of_two()
    (arrays,) = [nll for run, nll in experiment.nll.items() if run.k == 3]
    shifted = {split: nll.astype(np.float64) + 0.25 for split, nll in arrays.nll.items()}
    model = experiment.references[SAME]
    one = replace(experiment, references={SAME: ReferenceNLL(shifted, model.meta)})
    table = results_table(less_runs(one)).query("k == 3 and quantity == 'xe_less_run'")
    assert len(table) == 6
    np.testing.assert_allclose(table[["value", "low", "high"]], 0.25, rtol=1e-9)
    other = results_table(less_runs(one)).query("k == 2 and quantity == 'xe_less_run'")
    assert (other.high - other.low > 1e-4).all()


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
    for row, quantity in ((same, "xe_less_run"), (other, "bits_per_byte_less_run")):
        run = f"references.{row.name}"
        for series, shown in (("all", row.less_run), ("smallest", row.less_run_smallest)):
            (expected,) = less_runs_of(run, quantity, series=series, k=3).itertuples()
            assert (row.k, shown) == (3, (expected.value, expected.low, expected.high))
    assert reference_rows(results()[results().series != "reference"]) == []


def test_the_sentences_of_the_report() -> None:
    of_references = results()[results().run.isin([SAME, OTHER])]
    report = pd.concat([make_results(), of_references], ignore_index=True)
    lines = [line for line in sentences(report) if line.startswith("On the same windows")]
    same, other = (
        less_runs_of(run, quantity, series="all", k=3).iloc[0]
        for run, quantity in ((SAME, "xe_less_run"), (OTHER, "bits_per_byte_less_run"))
    )
    interval = f"{same.value:+.4f} [{same.low:+.4f}, {same.high:+.4f}]"
    assert "same is better than the run of K = 3" in lines[0]
    assert f"less that of the run is {interval} on all components" in lines[0]
    assert lines[0].endswith("nats per token, paired by window.")
    assert (
        f"other is worse than the run of K = 3: its cross entropy less that of the run is "
        f"{other.value:+.4f}" in lines[1]
    )
    assert lines[1].endswith("bits per byte, paired by window.")


def test_other_windows_are_refused(tmp_path: Any) -> None:
    windows = make_windows()
    measured = make_references(windows)
    save_nll(tmp_path / "nll.npz", measured[SAME])
    assert load_nll(tmp_path / "nll.npz").meta == measured[SAME].meta
    check_references(measured, windows, "store")
    for other in ((windows.iloc[1:], "store"), (windows, "other")):
        with pytest.raises(ErgokedroError, match=r"references\.same are stale"):
            check_references(measured, *other)
