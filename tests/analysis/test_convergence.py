"""Convergence from curves whose answers can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.convergence import convergence_table, mean_excess, tokens_to_reach
from synthetic_results import NAMES, make_results, make_summary
from synthetic_results import make_manifests as manifests


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
    results = make_results(ks=(1, 2))
    summaries = {m.run: make_summary(m) | {"final_train_loss": 2.5} for m in manifests()[:2]}
    histories = {
        "k1": history({0: 6.0, 100: 3.0, 200: 2.0, 300: 2.0}, NAMES[0]),
        "k2": history({0: 6.0, 100: 4.0, 200: 3.0, 300: 2.5}, NAMES[0]),
    }
    table = convergence_table(results, histories, summaries, NAMES[0])
    curves = table[table.quantity != "train_gap"].pivot(
        index="run", columns="quantity", values="value"
    )
    assert curves.common_level.to_list() == [2.5, 2.5]
    assert curves.tokens_to_level.to_list() == [150, 300]
    assert curves.excess_area.to_list() == [0.25, 1.125]
    gap = table[table.quantity == "train_gap"].set_index(["run", "split"])
    xe = results[(results.quantity == "xe") & (results.series == "chain")]
    expected = xe.set_index(["run", "split"])[["value", "low", "high"]] - 2.5
    pd.testing.assert_frame_equal(
        gap[["value", "low", "high"]], expected, check_dtype=False, check_like=True
    )
    assert (gap.windows > 0).all()
    assert set(table.k) == {1, 2}


def test_a_run_that_was_validated_once_has_no_curve() -> None:
    summaries = {"k1": make_summary(manifests()[0])}
    histories = {"k1": history({0: 6.0, 300: 2.0}, NAMES[0])}
    table = convergence_table(make_results(ks=(1,)), histories, summaries, NAMES[0])
    assert set(table.quantity) == {"train_gap"}
