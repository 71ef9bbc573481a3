"""Fits of laws to runs: parameters with intervals, and what the runs do not determine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.transfer.document_variance import add_documents, document_variance
from ergokedro.analysis.transfer.laws import LAWS, Law, Parameter, Problem
from ergokedro.analysis.transfer.least_squares import (
    best_of_starts,
    jacobian_rank,
    profile_limits,
    undetermined,
)
from ergokedro.analysis.transfer.runs import MixtureRuns, references, sample
from ergokedro.errors import ErgokedroError

# An interval reaches a limit of the search when it comes this close, as a part of their distance.
_AT_LIMIT = 1e-3
_UNKNOWN = Interval(*[float("nan")] * 4)


@dataclass(frozen=True)
class Estimate:
    """A parameter of a law as fitted.

    Attributes
    ----------
    parameter : which one.
    interval : value, ends and standard error, in the parameter's unit. The value is NaN where the
        runs determine the parameter only together with others, or not at all. An end at a limit of
        the search says that there is no such end.
    reason : why the parameter is not determined; '' if it is.
    """

    parameter: Parameter
    interval: Interval
    reason: str = ""

    @property
    def determined(self) -> bool:
        """The runs bound the parameter from both sides (τ = 0 is a bound)."""
        return not self.reason


@dataclass(frozen=True)
class FittedProblem:
    """One component's law as fitted, or that of all where they share parameters.

    Attributes
    ----------
    parameters : float64 (p,).
    target, weight : float64 (N,), observed XE and the reciprocal of its standard error.
    jacobian : float64 (N, p), weighted derivatives of the predictions.
    """

    problem: Problem
    parameters: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    jacobian: np.ndarray

    @property
    def degrees_of_freedom(self) -> int:
        """Observations less the parameters, or combinations of them, that they determine."""
        return len(self.target) - jacobian_rank(self.jacobian)

    @property
    def rmse(self) -> float:
        """Root of the mean squared residual, nats per token."""
        prediction = self.problem.evaluate(self.parameters[None])[0][0]
        return float(np.sqrt(((self.target - prediction) ** 2).mean()))


@dataclass(frozen=True)
class LawFit:
    """A law fitted to runs.

    Attributes
    ----------
    law : its name in `LAWS`.
    components : names of all m components.
    parts : one per component, or one for all.
    estimates : of all parameters.
    references : float64 (m,), n_ref of every component, tokens.
    """

    law: str
    components: tuple[str, ...]
    parts: tuple[FittedProblem, ...]
    estimates: tuple[Estimate, ...]
    references: np.ndarray

    def predict(self, tokens: np.ndarray) -> np.ndarray:
        """XE of mixtures on all components: float64 (n, m), nats per token.

        NaN where a mixture has no tokens of the component itself, or the prediction depends on what
        the runs do not determine.

        Parameters
        ----------
        tokens : (n, m), training tokens of every component.
        """
        tokens = np.asarray(tokens, dtype=np.float64)
        xe = np.full(tokens.shape, np.nan)
        for part in self.parts:
            old = part.problem.sample
            new = sample(
                self.components, tokens, tokens > 0, old.columns, self.references, old.level
            )
            values, slopes = LAWS[self.law].problem(new).evaluate(part.parameters[None])
            unknown = undetermined(part.jacobian, slopes[0])
            xe[new.rows, new.column] = np.where(unknown, np.nan, values[0])
        return xe

    def estimate(self, quantity: str, component: str, source: str = "") -> Estimate:
        """The estimate of one parameter, also where components share it.

        Raises
        ------
        ErgokedroError
            If the law has no such parameter.
        """
        by_name = {
            (e.parameter.quantity, e.parameter.component, e.parameter.source): e
            for e in self.estimates
        }
        names = (quantity, component, source), (quantity, source, component), (quantity, "", "")
        for name in names:
            if name in by_name:
                return by_name[name]
        raise ErgokedroError(
            f"The law {self.law!r} has no parameter {quantity!r} of component {component!r} and "
            f"source {source!r}. It has {', '.join(sorted({name[0] for name in by_name}))} of "
            f"{', '.join(self.components)}."
        )


def fit_law(runs: MixtureRuns, law: str = "transfer", confidence: float = 0.95) -> LawFit:
    """Fit a law by weighted least squares, from several starts.

    Intervals are profile intervals, with the scatter of the runs about the law as the noise: they
    hold draws, seeds and the law's own misfit. Where `runs.replicates` are given, the held-out
    documents that all runs share are added; those move E far more than τ. See
    :mod:`ergokedro.analysis.transfer.document_variance`.

    Parameters
    ----------
    law : a name in `LAWS`.
    confidence : of the intervals.

    Raises
    ------
    ErgokedroError
        If the law is unknown, or there is no observation.
    """
    entry, scale = LAWS[law], references(runs)
    parts: list[FittedProblem] = []
    estimates: list[Estimate] = []
    for columns in column_groups(runs, entry):
        part = _fit_part(runs, entry, columns, scale)
        fitted = _profile_intervals(part, confidence)
        if runs.replicates is not None:
            fitted = _with_documents(runs, part, fitted, confidence)
        parts.append(part)
        estimates += _estimates(part, fitted)
    return LawFit(law, runs.components, tuple(parts), tuple(estimates), scale)


def column_groups(runs: MixtureRuns, law: Law) -> list[np.ndarray]:
    """The components that are fitted together: each alone, or all where they share parameters.

    Raises
    ------
    ErgokedroError
        If no component was observed.
    """
    observed = np.flatnonzero(runs.observed.any(axis=0))
    if not len(observed):
        raise ErgokedroError(
            "No run was trained on a component and measured on it, so there is nothing to fit a "
            "law to. Give the XE of the components that each run was trained on."
        )
    return [observed] if law.joint else list(observed[:, None])


def problem_of(
    runs: MixtureRuns, law: Law, columns: np.ndarray, scale: np.ndarray
) -> tuple[Problem, np.ndarray, np.ndarray]:
    """The problem of some components, with its targets and weights (N,)."""
    level = float(runs.xe[runs.observed].max())
    observations = sample(runs.components, runs.tokens, runs.observed, columns, scale, level)
    index = observations.rows, observations.column
    weight = np.ones(len(index[0]))
    if runs.standard_error is not None:
        weight = 1 / runs.standard_error[index]
    return law.problem(observations), runs.xe[index], weight


def _fit_part(runs: MixtureRuns, law: Law, columns: np.ndarray, scale: np.ndarray) -> FittedProblem:
    problem, target, weight = problem_of(runs, law, columns, scale)
    solution = best_of_starts(
        problem.evaluate, problem.starts, target[None], weight[None], *problem.bounds
    )
    theta = solution.parameters[0]
    jacobian = weight[:, None] * problem.evaluate(theta[None])[1][0]
    return FittedProblem(problem, theta, target, weight, jacobian)


def _profile_intervals(part: FittedProblem, confidence: float) -> list[Interval]:
    """Profile intervals by Student's t, and their half widths over t; else NaN."""
    from scipy.stats import t

    freedom = part.degrees_of_freedom
    if freedom < 1:
        return [_UNKNOWN._replace(value=float(value)) for value in part.parameters]
    quantile = t.ppf((1 + confidence) / 2, freedom)
    low, high = profile_limits(
        part.problem.evaluate,
        part.parameters,
        part.target,
        part.weight,
        part.problem.bounds,
        1 + quantile**2 / freedom,
    ).T
    columns = (part.parameters, low, high, (high - low) / (2 * quantile))
    return [Interval(*map(float, row)) for row in zip(*columns, strict=True)]


def _with_documents(
    runs: MixtureRuns, part: FittedProblem, fitted: list[Interval], confidence: float
) -> list[Interval]:
    """Profile intervals that hold the held-out documents, too; NaN where a replicate is."""
    assert runs.replicates is not None
    observations = part.problem.sample
    replicates = runs.replicates[:, observations.rows, observations.column]
    freedom = part.degrees_of_freedom
    if freedom < 1 or not np.isfinite(replicates).all():
        return [_UNKNOWN._replace(value=float(value)) for value in part.parameters]
    documents = document_variance(
        part.jacobian,
        part.weight * replicates,
        observations.component_of,
        runs.document_df[observations.columns],
    )
    return add_documents(fitted, freedom, documents, part.problem.bounds, confidence)


def _estimates(part: FittedProblem, fitted: list[Interval]) -> Iterator[Estimate]:
    """The parameters of a part, each with the reason why it is not determined."""
    unknown = undetermined(part.jacobian, np.eye(len(fitted)))
    parameters = part.problem.parameters
    reasons: dict[tuple[str, str], str] = {}
    for i, (parameter, interval) in enumerate(zip(parameters, fitted, strict=True)):
        if unknown[i]:
            reason = _missing_runs(part, i)
        elif not np.isfinite(interval.low):
            reason = _missing_interval(part)
        else:
            reason = _open_end(parameter, interval)
        # A is what is above E, so it is as open as E.
        if parameter.quantity == "A":
            reason = reason or reasons.get(("E", parameter.component), "")
        reasons[parameter.quantity, parameter.component] = reason
        yield Estimate(parameter, _UNKNOWN if unknown[i] else interval, reason)


def _missing_runs(part: FittedProblem, index: int) -> str:
    parameter = part.problem.parameters[index]
    if parameter.source and not part.jacobian[:, index].any():
        return f"no run was trained on both {parameter.component} and {parameter.source}"
    return "the runs determine it only together with other parameters"


def _missing_interval(part: FittedProblem) -> str:
    runs, parameters = len(part.target), len(part.parameters)
    if part.degrees_of_freedom < 1:
        return f"{runs} runs and {parameters} parameters leave no scatter to judge by"
    return "its replicates are not finite; a component needs two held-out documents or more"


def _open_end(parameter: Parameter, interval: Interval) -> str:
    """Which limit of the search the interval reaches; τ = 0 and A = 0 are ends, not limits."""
    margin = _AT_LIMIT * (parameter.upper - parameter.lower)
    natural = parameter.lower == 0 and parameter.quantity in ("A", "tau", "beta")
    if not natural and interval.low <= parameter.lower + margin:
        return f"its interval reaches the lower limit of the search, {parameter.lower:g}"
    if interval.high >= parameter.upper - margin:
        return f"its interval reaches the upper limit of the search, {parameter.upper:g}"
    return ""
