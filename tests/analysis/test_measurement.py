"""Numbers out of NLL arrays: right, paired, tidy, refused where stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from ergokedro.analysis.checks import acceptance, check_comparable, check_runs, excess_bounds
from ergokedro.analysis.measurement import component_means, measure, xe_table
from ergokedro.analysis.series import results_table
from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.nll import ExactNLL, NLLArrays
from ergokedro.design.runs import chain, repeat_run
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import Parameters, validate_parameters
from synthetic_results import (
    DOCUMENTS,
    EXCESS,
    LENGTH,
    NAMES,
    UNSEEN,
    WINDOWS,
    make_design,
    make_experiment,
    make_manifests,
    make_results,
    make_runs,
    make_summary,
)

PLAN = [chain(k) for k in range(1, 6)]
KEYS = ["run", "split", "quantity", "series", "component", "position"]


@pytest.fixture(scope="module")
def runs(windows: pd.DataFrame, exact: ExactNLL) -> list[NLLArrays]:
    return list(make_runs(windows, exact, make_manifests()).values())


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_results()


def rows(
    results: pd.DataFrame, quantity: str, series: str, k: int, component: str = ""
) -> pd.DataFrame:
    return results[
        (results.quantity == quantity)
        & (results.series == series)
        & (results.k == k)
        & (results.component == component)
        & (results.split == "test")
    ]


def test_every_number_is_there_once_and_lies_in_its_interval(results: pd.DataFrame) -> None:
    assert not results.duplicated(KEYS).any()
    assert results.value.notna().all()
    in_nats = results[(results.unit == "nats")]
    assert in_nats.notna().all(axis=None)
    assert in_nats.value.between(in_nats.low, in_nats.high).all()
    assert set(results.unit) <= {"nats", "nats^2", "probability", "count", "bits per byte"}


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_three_series_are_means_over_their_own_windows(
    results: pd.DataFrame, runs: list[NLLArrays], windows: pd.DataFrame, k: int
) -> None:
    nll = runs[k - 1].nll["test"].astype(np.float64)
    component = windows.component[windows.split == "test"].to_numpy()
    for series, members in (("chain", NAMES[:k]), ("smallest", NAMES[:1]), ("all", NAMES)):
        (row,) = rows(results, "xe", series, k).itertuples()
        expected = np.mean([nll[component == name].mean() for name in members])
        assert row.value == pytest.approx(expected, abs=1e-12)
        assert row.windows == len(members) * DOCUMENTS * WINDOWS
        assert row.documents == len(members) * DOCUMENTS
        by_position = rows(results, "in_context_xe", series, k).sort_values("position")
        assert by_position.position.to_list() == list(range(2, LENGTH + 1))
        curve = np.mean([nll[component == name].mean(axis=0) for name in members], axis=0)
        np.testing.assert_allclose(by_position.value, curve, atol=1e-12)
        (gain,) = rows(results, "in_context_gain", series, k).value
        assert gain == pytest.approx(curve[:4].mean() - curve[-10:].mean(), abs=1e-12)


def test_components_not_trained_on_are_marked(results: pd.DataFrame) -> None:
    for k in range(1, 6):
        for i, name in enumerate(NAMES):
            (row,) = rows(results, "xe", "component", k, name).itertuples()
            assert row.trained == (i < k)
        assert rows(results, "xe", "all", k).trained.item() == (k == 5)
        assert rows(results, "xe", "chain", k).trained.item()


def test_components_of_unequal_size_weigh_the_same(windows: pd.DataFrame, exact: ExactNLL) -> None:
    keep = (windows.component != NAMES[1]) | (windows.document % 3 == 0)
    fewer = windows[keep].reset_index(drop=True)
    kept = {s: keep[windows.split == s].to_numpy() for s in ("validation", "test")}
    run = make_runs(windows, exact, make_manifests())[chain(2)]
    run = replace(run, nll={s: run.nll[s][kept[s]] for s in kept})
    table = results_table(measure(make_experiment({chain(2): run}, fewer)))
    each = [rows(table, "xe", "component", 2, name).value.item() for name in NAMES[:2]]
    assert rows(table, "xe", "chain", 2).value.item() == pytest.approx(np.mean(each))


def test_excess_is_paired_and_only_where_the_optimum_is_one(results: pd.DataFrame) -> None:
    for k, excess in EXCESS.items():
        for series in ("chain", "smallest"):
            (row,) = rows(results, "excess", series, k).itertuples()
            assert row.value == pytest.approx(excess, abs=5 * 0.01 / 7)
            assert row.standard_error < 0.003
            assert rows(results, "xe", series, k).standard_error.item() > 0.005
    assert set(results.k[(results.quantity == "exact_xe") & (results.series == "all")]) == {5}
    assert not ((results.quantity == "excess") & ~results.trained).any()


def test_difference_to_k1_is_paired_on_the_smallest_component(results: pd.DataFrame) -> None:
    assert set(results.series[results.quantity == "difference_to_k1"]) == {"smallest"}
    assert set(results.k[results.quantity == "difference_to_k1"]) == {2, 3, 4, 5}
    xe = {k: rows(results, "xe", "smallest", k).value.item() for k in range(1, 6)}
    for k in range(2, 6):
        (row,) = rows(results, "difference_to_k1", "smallest", k).itertuples()
        assert row.value == pytest.approx(xe[k] - xe[1])
        assert row.standard_error < rows(results, "xe", "smallest", k).standard_error.item()
        previous = rows(results, "difference_to_previous", "smallest", k)
        assert previous.value.item() == pytest.approx(xe[k] - xe[k - 1])
        assert (previous.standard_error.item() == row.standard_error) == (k == 2)


def test_bins_cover_every_position_once(results: pd.DataFrame) -> None:
    curve = rows(results, "in_context_xe", "chain", 2).sort_values("position")
    binned = rows(results, "binned_in_context_xe", "chain", 2).sort_values("position")
    middles = binned.position.to_list()
    assert middles[:4] == [2, 3, 4, 5]
    assert len(set(middles)) == len(middles) < 20
    # Widths are not stored; bins that tile 2..100 in order have these cumulative sums.
    total = np.concatenate([[0], np.cumsum(curve.value)])
    start = 0
    for middle, value in zip(middles, binned.value, strict=True):
        stops = [
            stop
            for stop in range(start + 1, 100)
            if abs((total[stop] - total[start]) / (stop - start) - value) < 1e-9
            and round(np.sqrt((start + 2) * (stop + 1))) == middle
        ]
        assert len(stops) == 1
        start = stops[0]
    assert start == LENGTH - 1


def test_no_optimum_and_no_k1_leave_their_quantities_out() -> None:
    results = make_results(known=False, ks=(2, 4))
    assert set(results.quantity) == {
        "xe", "in_context_xe", "binned_in_context_xe", "in_context_gain",
        "bits_per_byte", "in_document_xe",
    }  # fmt: skip
    assert acceptance(results, bounds={1: 0.005, 5: 0.015}).empty
    assert "excess" not in xe_table(results, make_design())


def test_xe_table(results: pd.DataFrame) -> None:
    table = xe_table(results, make_design())
    assert table.k.to_list() == [1, 2, 3, 4, 5]
    assert table.components[1] == "source-1, source-2"
    np.testing.assert_allclose(table.xe - table.optimum, table.excess, atol=1e-6)
    assert ((table.low < table.xe) & (table.xe < table.high)).all()
    assert table.smallest[0] == table.xe[0]


def test_component_means(runs: list[NLLArrays], windows: pd.DataFrame) -> None:
    table = component_means(runs[0], windows)
    for split in ("validation", "test"):
        means = table[table.split == split].set_index("component").xe
        each = means[means.index.notna()]
        assert means[means.index.isna()].item() == pytest.approx(each.mean())
        assert (each.drop(NAMES[0]) - each[NAMES[0]] > UNSEEN / 2).all()


def test_acceptance_of_good_models(results: pd.DataFrame) -> None:
    checks = acceptance(results, bounds={1: 0.005, 5: 0.015})
    assert checks.passed.all()
    assert len(checks) == 5 + 2 + 1
    assert len(acceptance(results, bounds={})) == 5


@pytest.mark.parametrize(
    ("shift", "failed"),
    [
        # Better than the optimum by far more than its standard error: a leak.
        (-0.03, ["K = 1: no leak", "K = 2: no leak", "K = 5: no leak"]),
        (+0.02, ["K = 1: excess on test text", "K = 5: excess on test text"]),
    ],
)
def test_acceptance_of_bad_models(
    windows: pd.DataFrame, exact: ExactNLL, shift: float, failed: list[str]
) -> None:
    runs = make_runs(windows, exact, make_manifests(), shift)
    results = results_table(measure(make_experiment(runs, windows, exact)))
    checks = acceptance(results, bounds={1: 0.005, 5: 0.015})
    names = " ".join(checks.check[~checks.passed])
    assert all(name in names for name in failed)


def test_a_leak_of_validation_text_alone_is_seen(
    windows: pd.DataFrame, exact: ExactNLL, runs: list[NLLArrays]
) -> None:
    leaked = replace(runs[2], nll={**runs[2].nll, "validation": runs[2].nll["validation"] - 0.05})
    experiment = make_experiment({chain(3): leaked}, windows, exact)
    checks = acceptance(results_table(measure(experiment)), bounds={})
    assert not checks.passed.item()


def test_excess_that_falls_with_k_is_not_accepted(results: pd.DataFrame) -> None:
    excess = results.quantity == "excess"
    falling = results.assign(value=results.value.where(~excess, 0.006 - 0.001 * results.k))
    checks = acceptance(falling, bounds={1: 0.005, 5: 0.015}).set_index("check").passed
    assert not checks.filter(like="grows").item()


def test_known_parameters_have_bounds_whatever_the_device() -> None:
    for same in ({}, {"k": "1-3", "seed": 4}, {"training": {"device": "cuda", "threads": 1}}):
        assert excess_bounds(Parameters.model_validate(same)) == {1: 0.005, 5: 0.015}
    for other in ({"training": {"epochs": 1}}, {"corpus": {"source": "x"}}):
        assert not excess_bounds(Parameters.model_validate(other))


@pytest.mark.parametrize(("environments", "ks"), [(["base"], [1, 5]), (["base", "quick"], [1, 3])])
def test_the_embedded_environments_are_known(environments: list[str], ks: list[int]) -> None:
    conf = Path(__file__).parents[2] / "conf"
    files = [conf / name / "parameters.yml" for name in environments]
    merged = OmegaConf.merge(*(OmegaConf.load(file) for file in files))
    raw: Any = OmegaConf.to_container(merged)
    assert sorted(excess_bounds(validate_parameters(raw))) == ks


def test_one_document_gives_values_without_intervals(
    windows: pd.DataFrame, exact: ExactNLL, runs: list[NLLArrays]
) -> None:
    first = windows.groupby(["split", "component"]).document.transform("min") == windows.document
    kept = {s: first[windows.split == s].to_numpy() for s in ("validation", "test")}
    few = replace(runs[0], nll={s: runs[0].nll[s][kept[s]] for s in kept})
    best = ExactNLL({k: v[kept[k.split("/")[0]]] for k, v in exact.nll.items()}, exact.meta)
    experiment = make_experiment({chain(1): few}, windows[first].reset_index(drop=True), best)
    table = results_table(measure(experiment))
    assert table.value.notna().all()
    assert table[["low", "high", "standard_error"]].isna().all(axis=None)
    assert acceptance(table, bounds={}).passed.all()


def test_current_runs_are_accepted(runs: list[NLLArrays], windows: pd.DataFrame) -> None:
    manifests = make_manifests()
    check_runs(PLAN, runs, manifests, [make_summary(m) for m in manifests], windows, make_design())


@pytest.mark.parametrize("change", ["windows", "manifest", "weights", "shape", "design"])
def test_stale_runs_are_refused_with_the_remedy(
    runs: list[NLLArrays], windows: pd.DataFrame, change: str
) -> None:
    manifest, run, design = make_manifests()[2], runs[2], make_design()
    summary = make_summary(manifest)
    remedy = "kedro run --pipelines training` with the same --env and --params"
    if change == "windows":
        windows = windows.assign(start=windows.start + 1)
    elif change == "manifest":
        manifest = manifest.model_copy(update={"within_documents": True})
    elif change == "weights":
        summary = make_summary(manifest, final_weights="others")
    elif change == "shape":
        run = replace(run, nll={**run.nll, "test": run.nll["test"][:, 1:]})
    else:
        design = design.model_copy(update={"components": NAMES[::-1]})
        remedy = "kedro run --pipelines mixture_design,training"
    with pytest.raises(ErgokedroError, match="k3") as error:
        check_runs([chain(3)], [run], [manifest], [summary], windows, design)
    assert remedy in error.value.message


def test_windows_fingerprint_sees_every_column(windows: pd.DataFrame) -> None:
    found = {windows_fingerprint(windows)}
    for column, value in (("split", "x"), ("component", "x"), ("document", 999), ("start", 999)):
        changed = windows.copy()
        changed.loc[0, column] = value
        found.add(windows_fingerprint(changed))
    found.add(windows_fingerprint(windows[::-1]))
    assert len(found) == 6


@pytest.mark.parametrize("key", ["steps", "tokens_seen", "initial_weights", "schedule", "seed"])
def test_runs_that_differ_in_more_than_their_mixture_are_not_compared(key: str) -> None:
    summaries = [make_summary(manifest) for manifest in make_manifests()]
    check_comparable(PLAN, summaries)
    summaries[3] = summaries[3].model_copy(update={key: "other"})
    with pytest.raises(ErgokedroError, match=f"k1 and k4 .* differ in {key}"):
        check_comparable(PLAN, summaries)


def test_runs_that_found_their_own_numbers_of_epochs_are_compared() -> None:
    summaries = [
        make_summary(manifest, steps=700 + i, tokens_seen=10**6 + i, best_epochs=3.0 + i)
        for i, manifest in enumerate(make_manifests())
    ]
    check_comparable(PLAN, summaries)
    summaries[3] = summaries[3].model_copy(update={"schedule": "other"})
    with pytest.raises(ErgokedroError, match="differ in schedule"):
        check_comparable(PLAN, summaries)


def test_every_draw_has_seeds_of_its_own() -> None:
    first = make_summary(make_manifests()[0])
    other = first.model_copy(update={"seed": 100, "initial_weights": "other"})
    check_comparable([PLAN[0], repeat_run(PLAN[0], 1, 2, 0)], [first, other])
    with pytest.raises(ErgokedroError, match="differ in seed"):
        check_comparable([PLAN[0], PLAN[0]], [first, other])


def test_another_rate_has_another_schedule() -> None:
    first = make_summary(make_manifests()[0])
    slower = first.model_copy(update={"schedule": "other"})
    check_comparable([PLAN[0], replace(PLAN[0], rate=0.5)], [first, slower])
