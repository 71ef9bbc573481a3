"""The shape of XE in K, where it is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit
from scipy.stats import t as student

from ergokedro.analysis.series import results_table
from ergokedro.analysis.shapes import SHAPES, derivatives, fit_shape, prediction_errors, shapes
from ergokedro.design.nll import NLLArrays
from ergokedro.design.runs import chain, repeat_run
from synthetic_results import make_experiment, make_meta, make_windows

KS = np.array([1.0, 2, 3, 4, 5, 7, 11])
WINDOWS = make_windows()
KNOWN: dict[str, Callable[..., np.ndarray]] = {
    "log": lambda k: 2.7 + 0.02 * np.log(k),
    "saturation": lambda k, c=3.5: 2.7 + 0.04 * (1 - np.exp(-(k - 1) / c)),
    "law": lambda k, tau=0.3: 2.7 - 0.05 * np.log(tau + (1 - tau) / k),
}


@pytest.mark.parametrize("name", list(KNOWN))
def test_a_known_shape_predicts_what_it_has_not_seen(name: str) -> None:
    xe = KNOWN[name](KS)
    errors = {s: np.abs(prediction_errors(SHAPES[s], KS, xe)).mean() for s in SHAPES}
    assert errors[name] < 1e-8
    # log is the law with tau = 0, and no other shape is one of the others.
    wrong = [s for s in SHAPES if s != name and (name, s) != ("log", "law")]
    assert min(errors[s] for s in wrong) > 1e-4


def test_the_parameter_of_a_known_shape() -> None:
    parameters = {name: fit_shape(SHAPES[name], KS, KNOWN[name](KS)).parameter for name in KNOWN}
    assert parameters["saturation"] == pytest.approx(3.5, rel=1e-4)
    assert parameters["law"] == pytest.approx(0.3, rel=1e-4)
    assert fit_shape(SHAPES["law"], KS, KNOWN["log"](KS)).parameter == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("name", "start"), [("saturation", 3.0), ("law", 0.4)])
def test_fits_are_those_of_scipy(name: str, start: float) -> None:
    xe = KNOWN[name](KS) + np.random.default_rng(0).normal(scale=0.0005, size=len(KS))

    def form(k: np.ndarray, a: float, b: float, third: float) -> np.ndarray:
        return a + b * (KNOWN[name](k, third) - 2.7)

    expected, _ = curve_fit(form, KS, xe, p0=[2.7, 1.0, start])
    curve = fit_shape(SHAPES[name], KS, xe)
    assert curve.parameter == pytest.approx(expected[2], rel=1e-4)
    assert curve(KS) == pytest.approx(form(KS, *expected), abs=1e-8)


# Standard deviations of runs, and of documents under single runs, nats per token.
OF_RUNS, OF_DOCUMENTS = 0.0002, 0.002


def shape_rows(effect: Callable[[np.ndarray], np.ndarray], draws: int = 3) -> pd.DataFrame:
    """Rows of a chain with chance of its own in every draw, K and document."""
    runs = {}
    base = {split: np.random.default_rng(0).normal(2.6, 0.3, size=(len(rows), 99))
            for split, rows in WINDOWS.groupby("split")}  # fmt: skip
    for draw in range(draws):
        for k in (1, 2, 3, 4, 5):
            rng = np.random.default_rng([draw, k])
            shift = effect(np.array(float(k))) + rng.normal(scale=OF_RUNS)
            run = repeat_run(chain(k), draw, draws, 0) if draw else chain(k)
            noise = rng.normal(scale=OF_DOCUMENTS, size=len(WINDOWS) // 8).repeat(4)
            nll = {str(split): array + shift + noise[:, None] for split, array in base.items()}
            runs[run] = NLLArrays(nll, make_meta(run))
    return results_table(shapes(make_experiment(runs, WINDOWS, draws=draws)))


def test_the_rows_say_which_shape_predicts_best() -> None:
    rows = shape_rows(lambda k: 0.1 * (1 - np.exp(-(k - 1) / 1.5)))
    errors = rows[rows.quantity == "shape_error"].set_index("run")
    assert list(errors.index) == list(SHAPES)
    assert errors.value.idxmin() == "saturation"
    assert set(errors.series) == {"smallest"}
    assert set(errors.draws) == {3}
    single = rows[rows.quantity == "shape_prediction_error"]
    assert list(single[single.run == "law"].k) == [2, 3, 4, 5]
    means = single.assign(size=single.value.abs()).groupby("run")["size"].mean()
    assert means.to_dict() == pytest.approx(errors.value.to_dict())
    less = rows[rows.quantity == "shape_error_to_log"].set_index("run")
    assert less.value.saturation == pytest.approx(errors.value.saturation - errors.value.log)
    assert less.high.saturation < 0


def test_the_interval_of_a_linear_prediction_is_that_of_its_weights() -> None:
    """`log` with one draw: predicted less measured is a weighted sum of the documents' means."""
    rows = shape_rows(lambda k: 0.02 * np.log(k), draws=1)
    found = rows[(rows.quantity == "shape_prediction_error") & (rows.run == "log")].set_index("k")
    others = np.log([1.0, 2, 3, 4])
    centred = others - others.mean()
    weights = 0.25 + centred * (np.log(5) - others.mean()) / (centred**2).sum()
    values = np.zeros(12)
    for k, weight in zip((1, 2, 3, 4, 5), (*weights, -1), strict=True):
        rng = np.random.default_rng([0, k])
        shift = 0.02 * np.log(k) + rng.normal(scale=OF_RUNS)
        values += weight * (shift + rng.normal(scale=OF_DOCUMENTS, size=len(WINDOWS) // 8)[:12])
    assert found.value[5] == pytest.approx(values.mean(), rel=1e-3)
    half = student.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert (found.high[5] - found.low[5]) / 2 == pytest.approx(half, rel=1e-3)


@pytest.mark.parametrize("name", ["saturation", "law"])
def test_the_delta_method_gives_the_spread_of_repeated_experiments(name: str) -> None:
    shape, xe, noise = SHAPES[name], KNOWN[name](KS), 0.0003

    def errors(measured: np.ndarray) -> np.ndarray:
        return prediction_errors(shape, KS, measured)

    expected = noise * np.sqrt((derivatives(errors, xe) ** 2).sum(axis=1))
    rng = np.random.default_rng(0)
    repeats = [errors(xe + rng.normal(scale=noise, size=len(KS))) for _ in range(60)]
    assert np.std(repeats, axis=0) == pytest.approx(expected, rel=0.3)


def test_four_values_of_k_are_too_few() -> None:
    runs = {chain(k): NLLArrays({"test": np.zeros((len(WINDOWS) // 2, 99))}, make_meta(chain(k)))
            for k in (1, 2, 3, 4)}  # fmt: skip
    windows = WINDOWS[WINDOWS.split == "test"].reset_index(drop=True)
    assert list(shapes(make_experiment(runs, windows))) == []
