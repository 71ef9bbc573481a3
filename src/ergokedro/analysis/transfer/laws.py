"""Laws of XE on a component, given the training tokens of all: one registry, one form.

Every law here is, on component c, a floor and a part that data reduce,

    XE_c = E_c + A_c exp(z)                        (a sum of the two as in Hoffmann et al. 2022,
                                                    arXiv 2203.15556, equation 2)

and differs in z. With n_j tokens of component j, r_j = n_j / D and D their sum:

    transfer             z = -alpha_c log((n_c + Σ_j τ_cj n_j) / n_ref)
    exponential          z = Σ_j t_cj r_j
    exponential_budget   z = Σ_j t_cj r_j - β_c log(D / n_ref)

The first takes a token of j for τ_cj tokens of c's own; that data from elsewhere are worth a
number of own tokens is of Hernandez et al. 2021 (arXiv 2102.01293), where that number is a power
law rather than a linear function. The second is the mixing law of Ye et al. 2024 (arXiv
2403.16952), which is of one budget. Since proportions sum to 1, one of its coefficients is
redundant: here t_cc = 0, and A_c is the reducible part of a specialist. The third gives it a power
of D, since it would otherwise predict one XE for all budgets.

n_ref, the geometric mean of c's own tokens over its runs, gives A_c a unit and a meaning: the nats
above the floor that n_ref tokens leave. Written A' n^-alpha, the same law has A' = A n_ref^alpha.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from ergokedro.analysis.transfer.least_squares import Evaluate
from ergokedro.analysis.transfer.runs import Sample
from ergokedro.registry import Registry

# (B, q) parameters of a shape -> z (B, N) and its derivatives (B, N, q).
Shape = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

EXPONENT_LIMITS = (0.01, 3.0)
TRANSFER_LIMIT = 10.0
MIXING_LIMIT = 20.0
# Where others' tokens hurt, effective tokens do not fall below this part of the own ones.
_LEAST_EFFECTIVE = 0.01
# A token of other text is worth at least so many own ones where negative transfer is allowed.
_LEAST_TRANSFER = -1.0


@dataclass(frozen=True)
class Parameter:
    """A parameter of a law.

    Attributes
    ----------
    quantity : 'E', 'A', 'alpha', 'tau', 'mixing' or 'beta'.
    component, source : whose XE it is about, and whose tokens; '' where there is none, or all share
        the parameter.
    lower, upper : limits of the search.
    unit : 'nats' or '1'.
    """

    quantity: str
    component: str
    source: str
    lower: float
    upper: float
    unit: str = "1"


@dataclass(frozen=True)
class Problem:
    """A law on a sample: its p parameters, its predictions, and where a search starts.

    Attributes
    ----------
    starts : float64 (S, p).
    """

    sample: Sample
    parameters: tuple[Parameter, ...]
    evaluate: Evaluate
    starts: np.ndarray

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper limits, float64 (p,) each."""
        lower = np.array([parameter.lower for parameter in self.parameters])
        upper = np.array([parameter.upper for parameter in self.parameters])
        return lower, upper


@dataclass(frozen=True)
class Law:
    """A law that can be fitted.

    Attributes
    ----------
    problem : makes its problem of a sample.
    joint : components share parameters, so they are fitted together.
    """

    problem: Callable[[Sample], Problem]
    joint: bool = False


LAWS: Registry[Law] = Registry("analysis.laws")


def constant(sample: Sample) -> Problem:
    """The mean of every component: no law at all."""

    def evaluate(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(theta), *sample.component_of.shape)
        return theta @ sample.component_of.T, np.broadcast_to(sample.component_of, shape)

    floors = _per_component(sample, "E", 0.0, sample.level, "nats")
    return Problem(sample, tuple(floors), evaluate, np.full((1, len(floors)), sample.level))


def power(
    sample: Sample,
    transfer: bool = True,
    shared_exponent: bool = False,
    symmetric: bool = False,
    negative: bool = False,
) -> Problem:
    """The law in effective tokens.

    Parameters
    ----------
    transfer : others' tokens count; without, the law is a power of the component's own tokens.
    shared_exponent : all components have one alpha.
    symmetric : τ_cj = τ_jc.
    negative : τ may fall to -1. Else it is not below 0: then that others' tokens hurt shows only as
        τ = 0 and in the errors of the law.
    """
    if shared_exponent:
        exponents = [Parameter("alpha", "", "", *EXPONENT_LIMITS)]
        exponent_of = np.ones((len(sample.column), 1))
    else:
        exponents = _per_component(sample, "alpha", *EXPONENT_LIMITS)
        exponent_of = sample.component_of
    lowest = _LEAST_TRANSFER if negative else 0.0
    limits = (lowest, TRANSFER_LIMIT)
    weights, others = _pairs(sample, sample.relative, "tau", limits, symmetric)
    if not transfer:
        weights, others = [], others[:, :0]
    starts = [
        [alpha] * len(exponents) + [tau] * len(weights)
        for alpha, tau in product((0.1, 0.3, 0.9), (0.1, 0.6) if transfer else (0.0,))
    ]
    shape = _power_shape(sample.own, others, exponent_of)
    return _with_floor(sample, shape, exponents + weights, np.array(starts))


def exponential(sample: Sample, budget: bool = False) -> Problem:
    """The exponential mixing law; with `budget`, times a power of D."""
    total = sample.tokens.sum(axis=1)
    proportions = sample.tokens / total[:, None]
    limits = (-MIXING_LIMIT, MIXING_LIMIT)
    parameters, features = _pairs(sample, proportions, "mixing", limits)
    if budget:
        log_budget = np.log(sample.relative.sum(axis=1))
        features = np.hstack([features, -log_budget[:, None] * sample.component_of])
        parameters = parameters + _per_component(sample, "beta", 0.0, EXPONENT_LIMITS[1])
    kinds = np.array([parameter.quantity == "beta" for parameter in parameters], dtype=bool)
    starts = np.array([np.where(kinds, 0.3, mixing) for mixing in (0.3, 1.0, 3.0)])

    def shape(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return theta @ features.T, np.broadcast_to(features, (len(theta), *features.shape))

    return _with_floor(sample, shape, parameters, starts)


def _per_component(
    sample: Sample, quantity: str, lower: float, upper: float, unit: str = "1"
) -> list[Parameter]:
    names = [sample.components[column] for column in sample.columns]
    return [Parameter(quantity, name, "", lower, upper, unit) for name in names]


def _pairs(
    sample: Sample,
    values: np.ndarray,
    quantity: str,
    limits: tuple[float, float],
    symmetric: bool = False,
) -> tuple[list[Parameter], np.ndarray]:
    """A parameter for every pair of a component and another, and its feature (N, q).

    Parameters
    ----------
    values : float64 (N, m); the feature of pair (c, j) is column j on the observations of c.
    """
    features: dict[tuple[int, int], np.ndarray] = {}
    for column in map(int, sample.columns):
        for source in range(len(sample.components)):
            if source == column:
                continue
            pair = (min(column, source), max(column, source)) if symmetric else (column, source)
            feature = np.where(sample.column == column, values[:, source], 0.0)
            features[pair] = features.get(pair, 0.0) + feature
    names = sample.components
    parameters = [Parameter(quantity, names[c], names[j], *limits) for c, j in features]
    stacked = np.array(list(features.values())).reshape(len(parameters), len(values))
    return parameters, stacked.T


def _power_shape(own: np.ndarray, others: np.ndarray, exponent_of: np.ndarray) -> Shape:
    """z = -alpha log(own + others τ), of parameters (alpha, τ)."""
    count = exponent_of.shape[1]

    def shape(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        alpha = theta[:, :count] @ exponent_of.T
        linear = own + theta[:, count:] @ others.T
        effective = np.maximum(linear, _LEAST_EFFECTIVE * own)
        log = np.log(effective)
        slope = -alpha / effective * (linear >= effective)
        derivatives = (-log[:, :, None] * exponent_of, slope[:, :, None] * others)
        return -alpha * log, np.concatenate(derivatives, axis=2)

    return shape


def _with_floor(
    sample: Sample, shape: Shape, parameters: list[Parameter], starts: np.ndarray
) -> Problem:
    """The law E + A exp(z), with E and A of every component before the parameters of z."""
    of = sample.component_of
    count = of.shape[1]

    def evaluate(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, slope = shape(theta[:, 2 * count :])
        with np.errstate(over="ignore", invalid="ignore"):
            basis = np.exp(z)
            reducible = (theta[:, count : 2 * count] @ of.T) * basis
            floors = np.broadcast_to(of, (len(theta), *of.shape))
            derivatives = (floors, basis[:, :, None] * of, reducible[:, :, None] * slope)
            prediction = theta[:, :count] @ of.T + reducible
            return prediction, np.concatenate(derivatives, axis=2)

    floors = _per_component(sample, "E", 0.0, sample.level, "nats")
    parts = _per_component(sample, "A", 0.0, 10 * sample.level, "nats")
    linear = np.tile([0.7 * sample.level] * count + [0.2 * sample.level] * count, (len(starts), 1))
    return Problem(sample, (*floors, *parts, *parameters), evaluate, np.hstack([linear, starts]))


LAWS.register("transfer", Law(power))
LAWS.register("transfer_negative", Law(partial(power, negative=True)))
LAWS.register("transfer_shared_alpha", Law(partial(power, shared_exponent=True), joint=True))
LAWS.register("transfer_symmetric", Law(partial(power, symmetric=True), joint=True))
LAWS.register("own_tokens", Law(partial(power, transfer=False)))
LAWS.register("exponential", Law(exponential))
LAWS.register("exponential_budget", Law(partial(exponential, budget=True)))
LAWS.register("constant", Law(constant))
