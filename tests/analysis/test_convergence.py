"""Convergence from curves whose answers can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.convergence import convergence, mean_excess, tokens_to_reach
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.measurement import measure
from ergokedro.analysis.series import results_table
from ergokedro.design.runs import chain
from synthetic_results import (
    NAMES,
    make_exact,
    make_experiment,
    make_manifests,
    make_runs,
    make_summary,
    make_windows,
)


def experiment(*ks: int) -> Experiment:
    windows = make_windows()
    exact = make_exact(windows)
    manifests = [manifest for manifest in make_manifests() if manifest.k in ks]
    return make_experiment(make_runs(windows, exact, manifests), windows, exact)


def curve(**values: float) -> pd.Series:
    return pd.Series({int(tokens[1:]): value for tokens, value in values.items()})


def test_tokens_to_reach_a_level() -> None:
    falling = curve(t0=6.0, t100=3.0, t200=2.0, t300=2.5, t400=1.0)
    assert tokens_to_reach(falling, 2.5) == 150  # the first time, though it rises again
    assert tokens_to_reach(falling, 2.0) == 200
    assert tokens_to_reach(falling, 6.0) == 0
    assert np.isnan(tokens_to_reach(falling, 0.5))


def test_mean_excess_is_an_area_over_its_width() -> None:
    assert mean_excess(curve(t0=3.0, t100=2.0, t400=2.0), 2.0) == pytest.approx(50 / 400)
    assert mean_excess(curve(t50=3.0, t70=3.0), 2.5) == 0.5


def history(points: dict[int, float], name: str) -> pd.DataFrame:
    rows = [(t, t, "validation_xe", name, value) for t, value in points.items()]
    rows += [(t, t, "validation_xe", "another", 9.0) for t in points]
    return pd.DataFrame(rows, columns=["step", "tokens", "metric", "component", "value"])


def test_rows() -> None:
    measured = experiment(1, 2)
    results = results_table(measure(measured))
    summaries = {chain(m.k): make_summary(m, final_train_loss=2.5) for m in make_manifests()[:2]}
    histories = {
        chain(1): history({0: 6.0, 100: 3.0, 200: 2.0, 300: 2.0}, NAMES[0]),
        chain(2): history({0: 6.0, 100: 4.0, 200: 3.0, 300: 2.5}, NAMES[0]),
    }
    table = results_table(convergence(measured, histories, summaries))
    curves = table[table.quantity != "train_gap"].pivot(
        index="run", columns="quantity", values="value"
    )
    assert list(curves.columns) == ["excess_area"]  # no level was set
    assert curves.excess_area.to_list() == [0.25, 1.125]
    gap = table[table.quantity == "train_gap"].set_index(["run", "split"])
    xe = results[(results.quantity == "xe") & (results.series == "chain")]
    expected = xe.set_index(["run", "split"])[["value", "low", "high"]] - 2.5
    pd.testing.assert_frame_equal(
        gap[["value", "low", "high"]], expected, check_dtype=False, check_like=True
    )
    assert (gap.windows > 0).all()
    assert set(table.k) == {1, 2}


def test_tokens_to_a_level_that_was_set_beforehand() -> None:
    measured = experiment(1, 2)
    measured = replace(measured, params=measured.params.model_copy(update={"level": 2.25}))
    summaries = {chain(m.k): make_summary(m) for m in make_manifests()[:2]}
    histories = {
        chain(1): history({0: 6.0, 100: 3.0, 200: 2.0, 300: 2.0}, NAMES[0]),
        chain(2): history({0: 6.0, 100: 4.0, 200: 3.0, 300: 2.5}, NAMES[0]),
    }
    table = results_table(convergence(measured, histories, summaries)).set_index(["quantity", "k"])
    assert table.value["level"].to_list() == [2.25, 2.25]
    assert table.value["tokens_to_level", 1].item() == 175
    assert np.isnan(table.value["tokens_to_level", 2].item())
    assert table.note["tokens_to_level"].to_list() == ["", "the level is never reached"]


def test_a_run_that_was_validated_once_has_no_curve() -> None:
    summaries = {chain(1): make_summary(make_manifests()[0])}
    histories = {chain(1): history({0: 6.0, 300: 2.0}, NAMES[0])}
    rows = convergence(experiment(1), histories, summaries)
    assert {row.quantity for row in rows} == {"train_gap"}
