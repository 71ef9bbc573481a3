"""How fast context helps: curves of L(t), fitted by position.

Two forms, both with a floor a that is a parameter of the fit and nothing more: it is *not* the
entropy rate of the text (on a curve whose floor is known, its interval has missed it).

    power law     L(t) = a + b t^-c
    exponential   L(t) = a + b exp(-t / tau)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ergokedro.analysis.bootstrap import Interval, intervals
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow

# Bootstrap replicates that are fitted: enough for an interval's ends to two digits.
_REPLICATES = 100
# Fits beyond have diverged; the square of such a number overflows.
_LARGEST = 1e100


class Form(NamedTuple):
    """A curve: its function of (t, a, b, c), the name of c, and where its fit starts."""

    curve: Callable[..., np.ndarray]
    shape: str
    start: float


def power_law(t: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
    """a + b t^-c."""
    return a + b * t**-c


def exponential(t: np.ndarray, a: float, b: float, tau: float) -> np.ndarray:
    """a + b exp(-t / tau)."""
    return a + b * np.exp(-t / tau)


FORMS = {"power": Form(power_law, "c", 0.7), "exponential": Form(exponential, "tau", 10.0)}


def fits(experiment: Experiment, split: str = "test") -> Iterator[ResultRow]:
    """Fits to the L(t) of every run of the chain.

    Yields
    ------
    Rows of series 'chain' and 'smallest'; quantities fit_power_a, _b, _c, _rmse and
    fit_exponential_a, _b, _tau, _rmse: in nats, except c (unit 1) and tau (tokens).
    """
    units = {"c": "1", "tau": "tokens"}
    params = experiment.params
    for run in experiment.chain:
        nll = experiment.nll[run].nll[split]
        for selection in experiment.selections(split, run):
            if selection.series not in ("chain", "smallest"):
                continue
            replicates = selection.replicates(nll, params)
            for form, parameter, interval in fit_curves(replicates, params.confidence):
                unit = units.get(parameter, "nats")
                quantity = f"fit_{form}_{parameter}"
                yield selection.row(quantity, interval, unit=unit, **experiment.tags(run))


def fit_curves(replicates: np.ndarray, confidence: float) -> Iterator[tuple[str, str, Interval]]:
    """Fit both forms to L(t), each position weighted by its bootstrap variance.

    Parameters
    ----------
    replicates : float64 (B + 1, W - 1), bootstrap means of L(2..W), row 0 the estimate itself.
    confidence : of the intervals of the parameters, from fits to the first 100 replicates.

    Yields
    ------
    form, parameter ('a', 'b', 'c' or 'tau', or 'rmse': root of the mean squared residual, nats),
    interval. A form that does not converge, or without bootstrap variance, gives nothing.
    """
    t = np.arange(2, replicates.shape[1] + 2, dtype=np.float64)
    errors = replicates[1:].std(axis=0, ddof=1)
    if not np.isfinite(errors).all() or (errors <= 0).any() or len(t) <= 3:
        return
    for name, form in FORMS.items():
        fits = _fit_all(form, t, replicates[: _REPLICATES + 1], errors)
        if fits is None:
            continue
        left = replicates[0] - form.curve(t, *fits[0])
        rmse = float(np.sqrt((left**2).mean()))
        names = ("a", "b", form.shape)
        yield from zip([name] * 3, names, intervals(fits, confidence), strict=True)
        yield name, "rmse", Interval(rmse, np.nan, np.nan, np.nan)


def _fit_all(
    form: Form, t: np.ndarray, curves: np.ndarray, errors: np.ndarray
) -> np.ndarray | None:
    """Parameters of every curve, (n, 3), or None where the estimate itself has no fit."""
    from scipy.optimize import least_squares

    def residuals(parameters: np.ndarray, curve: np.ndarray) -> np.ndarray:
        a, b, log_c = parameters  # the logarithm keeps c above 0
        return (form.curve(t, a, b, np.exp(log_c)) - curve) / errors

    start = np.array([curves[0, -1], curves[0, 0] - curves[0, -1], np.log(form.start)])
    fits: list[np.ndarray] = []
    for curve in curves:
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            fit = least_squares(residuals, start, method="lm", max_nfev=300, args=(curve,))
            parameters = np.array([*fit.x[:2], np.exp(fit.x[2])])
        if fit.success and (np.abs(parameters) < _LARGEST).all():
            start = start if fits else fit.x  # the replicates lie around the estimate
            fits.append(parameters)
        elif not fits:
            return None
    return np.array(fits)
