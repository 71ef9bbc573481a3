"""Rows of the law and of own-text equivalents from measured runs whose law is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from ergokedro.analysis.controls import plan_experiment, read_settings
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import results_table
from ergokedro.analysis.transfer.measured import average_draws, measured_runs
from ergokedro.analysis.transfer.rows import transfer
from ergokedro.design.nll import NLLArrays
from synthetic_results import NAMES, PARAMS, UNKNOWN, make_design, make_meta, make_windows
from transfer_runs import law_xe

COMPONENTS = NAMES[:3]
D = 300_000
# The first two are one source: a token of either is a token of the other. The third is alone.
TAU = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
ALPHA = 0.35
SETTINGS: dict[str, Any] = {
    "specialists": True,
    "subsets": True,
    "specialist_sizes": "6+12",
    "specialist_form": "grid",
}


def make_experiment(shift_draws: float = 0.0, **settings: Any) -> Experiment:
    """Runs that follow the law, but for documents and a shift of every draw, nats."""
    windows = make_windows()
    windows = windows[windows.component.isin(COMPONENTS)].reset_index(drop=True)
    design = make_design().model_copy(update={"components": COMPONENTS})
    rng = np.random.default_rng(0)
    documents = 0.3 * rng.normal(size=windows.document.nunique())
    documents = documents[np.unique(windows.document, return_inverse=True)[1]]
    order = windows.component.map({name: i for i, name in enumerate(COMPONENTS)}).to_numpy()
    arrays = {}
    for run in plan_experiment([1, 2, 3], 3, settings):
        tokens = np.isin([1, 2, 3], run.components) * D / run.divisor
        xe = np.nan_to_num(law_xe(tokens[None], TAU, ALPHA)[0], nan=9.0)
        shift = 0.1 * (run.repeats != 1) + shift_draws * run.draw
        values = np.repeat((xe[order] + documents + shift)[:, None], 99, axis=1)
        nll = {s: values[windows.split == s].astype(np.float32) for s in ("validation", "test")}
        arrays[run] = NLLArrays(nll, make_meta(run))
    return Experiment(design, windows, arrays, UNKNOWN, PARAMS, read_settings(settings))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return results_table(transfer(make_experiment(**SETTINGS)))


def pick(table: pd.DataFrame, quantity: str, **tags: object) -> pd.DataFrame:
    rows = table[table.quantity == quantity]
    for name, value in tags.items():
        rows = rows[rows[name] == value]
    return rows


def test_the_law_is_recovered(table: pd.DataFrame) -> None:
    """Identical sources: τ = 1; sources without anything in common: τ = 0."""
    tau = pick(table, "tau").pivot(index="component", columns="source", values="value")
    expected = pd.DataFrame(TAU, COMPONENTS, COMPONENTS)
    for component in COMPONENTS:
        for source in set(COMPONENTS) - {component}:
            expected_tau = expected.loc[component, source]
            assert tau.loc[component, source] == pytest.approx(expected_tau, abs=1e-3)
    assert set(pick(table, "tau").note) == {""}
    np.testing.assert_allclose(pick(table, "law_alpha").value, ALPHA, atol=1e-3)
    assert list(pick(table, "law_E").component) == COMPONENTS
    # A counts at the tokens that the row says.
    for row in pick(table, "law_A").itertuples():
        alone = np.eye(3)[COMPONENTS.index(row.component)] * row.tokens
        floor = pick(table, "law_E", component=row.component).value.item()
        xe = np.nansum(law_xe(alone[None], TAU, ALPHA))
        assert floor + row.value == pytest.approx(
            xe, abs=0.31
        )  # documents shift all of a component


def test_the_floor_holds_what_documents_share(table: pd.DataFrame) -> None:
    """Runs follow the law but for a shift that all share, so that only floors have any chance."""
    floors, rates = pick(table, "law_E"), pick(table, "tau")
    assert (floors.standard_error > 0.01).all()
    assert (floors.high - floors.low > 0.05).all()
    assert (rates.high - rates.low < 1e-2).all()


def test_equivalents_are_those_of_the_law(table: pd.DataFrame) -> None:
    """In a mixture of both names of one source, a component reads as if all text were its own."""
    share = pick(table, "own_text_share", run="k2", component=COMPONENTS[0]).iloc[0]
    assert share.value == pytest.approx(1, abs=0.02)
    assert (share.unit, share.draws) == ("share", 1)
    alone = pick(table, "own_text_share", run="subsets.c2_c3", component=COMPONENTS[2]).iloc[0]
    assert alone.value == pytest.approx(0.5, abs=0.01)  # its own half, and nothing else
    tokens = pick(table, "own_text_tokens", run="subsets.c2_c3", component=COMPONENTS[2]).iloc[0]
    assert tokens.value == pytest.approx(alone.value * D)
    assert not pick(table, "own_text_share").k.isin([1]).any()


def test_what_documents_share_cancels(table: pd.DataFrame) -> None:
    """The same documents are drawn for mixtures and specialists: no chance is left here."""
    inside = pick(table, "own_text_share", note="")
    assert (inside.high - inside.low).max() < 1e-4


def test_direct_rates_agree_with_the_law(table: pd.DataFrame) -> None:
    direct = pick(table, "exchange_direct")
    assert len(direct) == 6
    for row in direct.itertuples():
        expected = TAU[COMPONENTS.index(row.component), COMPONENTS.index(row.source)]
        assert row.value == pytest.approx(expected, abs=0.03)


def test_errors_on_unseen_mixtures(table: pd.DataFrame) -> None:
    errors = pick(table, "held_out_error").set_index(["series", "run"]).value
    assert errors["held_out_set", "transfer"] < 1e-3
    assert errors["held_out_set", "constant"] > 0.05
    assert {"held_out_k", "held_out_budget"} <= set(table.series)
    relative = pick(table, "held_out_relative_error", series="held_out_set", run="constant")
    assert 0 < relative.value.item() < 0.1
    assert "predictions of" in relative.note.item()


def test_bounds_are_marked() -> None:
    """Without specialists as small as a share, or with a mixture better than all text alone."""
    settings: dict[str, Any] = {"specialists": True, "subsets": True, "specialist_form": "epochs"}
    experiment = make_experiment(**settings)
    kept = {
        run: a for run, a in experiment.nll.items()
        if not (len(run.components) == 1 and run.divisor == 3)
    }  # fmt: skip
    fewer = Experiment(
        experiment.design, experiment.windows, kept, UNKNOWN, PARAMS, experiment.settings
    )
    rows = results_table(transfer(fewer))
    third = pick(rows, "own_text_tokens", run="k3", component=COMPONENTS[2]).iloc[0]
    assert (third.note, third.value, third.low) == ("<", D / 2, 0)


def test_the_chain_alone_says_nothing() -> None:
    assert results_table(transfer(make_experiment())).empty
    pseudo = make_experiment(pseudo=True, seeds=2, draws=2)
    assert results_table(transfer(pseudo)).empty


def test_specialists_alone_do_not_determine_all_of_the_law() -> None:
    table = results_table(
        transfer(make_experiment(specialists=True, specialist_sizes="6", specialist_form="epochs"))
    )
    tau = pick(table, "tau", component=COMPONENTS[2]).set_index("source")
    assert (tau.note == "the runs determine it only together with other parameters").all()
    assert tau.value.isna().all()
    assert (pick(table, "own_text_share").k > 1).all()


def test_draws_are_rows_of_the_law_and_a_mean_of_the_equivalents() -> None:
    experiment = make_experiment(0.01, **SETTINGS, draws=3, specialist_epochs="1")
    measured = measured_runs(experiment, "test")
    assert {run.draw for run in measured.runs} == {0, 1, 2}
    assert len(measured.runs) == len(experiment.nll)
    table = results_table(transfer(experiment))
    share = pick(table, "own_text_share", run="subsets.c2_c3", component=COMPONENTS[2]).iloc[0]
    assert share.value == pytest.approx(0.5, abs=0.01)  # what a draw's runs share cancels
    assert (share.draws, share.high - share.low) == (3, pytest.approx(0, abs=1e-4))
    assert set(pick(table, "tau").draws) == {3}


def test_average_draws() -> None:
    # Two groups; the first has two seeds in draw 0, the second lacks draw 1.
    values = np.array([[1.0, 3.0, 10.0, 7.0]] * 3)
    group, draw = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 0])
    weights = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    expected = [[6, 7], [2, 7], [10, 7]]
    np.testing.assert_array_equal(average_draws(values, group, draw, weights), expected)
