"""How much text of its own a model would need: a mixture's XE read on the curve of specialists.

S*_c(n) is the XE of the best specialist of component c that n tokens of c can give. The own-text
equivalent of a mixture is the n with S*_c(n) = XE_c. Between the sizes at which specialists were
trained, log n is interpolated in S (monotone cubic pieces, Fritsch and Carlson 1980); outside them
nothing is said but on which side the equivalent lies. Where noise makes the curve rise, adjacent
points are averaged until it falls (isotonic regression).

On a curve E + A n^-alpha whose sizes double, interpolation is within 0.5 % of n at alpha = 0.35,
and within 4 % at alpha = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.transfer.runs import MixtureRuns
from ergokedro.errors import ErgokedroError


@dataclass(frozen=True)
class SpecialistCurve:
    """XE of the best specialists of one component.

    Attributes
    ----------
    component : its name.
    tokens : float64 (P,), training tokens, ascending.
    xe : float64 (P,), nats per token, on the component's held-out text.
    replicates : float64 (B, P), bootstrap replicates of `xe`, or None where errors are not known.

    Raises
    ------
    ErgokedroError
        If there are fewer than two sizes, they do not ascend, or shapes disagree.
    """

    component: str
    tokens: np.ndarray
    xe: np.ndarray
    replicates: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "xe", "replicates"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=np.float64))
        widths = {self.xe.shape[-1]} | (
            set() if self.replicates is None else {self.replicates.shape[-1]}
        )
        if len(self.tokens) < 2 or widths != {len(self.tokens)}:
            raise ErgokedroError(
                f"The curve of specialists of {self.component} has {len(self.tokens)} sizes and XE "
                f"of {sorted(widths)}; an own-text equivalent needs the XE of two sizes or more."
            )
        if not (self.tokens[0] > 0 and (np.diff(self.tokens) > 0).all()):
            raise ErgokedroError(
                f"The sizes of the specialists of {self.component} must be positive and ascend, "
                f"each once: {self.tokens.tolist()}. Average specialists of the same size first."
            )
        if not np.isfinite(self.xe).all():
            raise ErgokedroError(
                f"The XE of a specialist of {self.component} is not finite: {self.xe.tolist()}. "
                "Leave out sizes that were not measured."
            )


@dataclass(frozen=True)
class OwnTextEquivalent:
    """The own tokens that give a component the XE that a mixture gives it.

    Attributes
    ----------
    component : its name.
    run : row of the mixture's run.
    tokens : the equivalent and its interval; low is 0 and high infinite where the interval leaves
        the sizes of the specialists.
    share : the same as a part of the mixture's D.
    bound : '' where `tokens.value` is the equivalent; '>' or '<' where that is only above the
        largest or below the smallest size, which `tokens.value` is then; '?' where the curve does
        not fall with tokens, so that nothing can be said and `tokens.value` is NaN.
    """

    component: str
    run: int
    tokens: Interval
    share: Interval
    bound: str


def own_text_equivalents(
    runs: MixtureRuns, curve: SpecialistCurve, confidence: float = 0.95
) -> list[OwnTextEquivalent]:
    """The own-text equivalent of every run that was trained on the curve's component.

    Parameters
    ----------
    runs : where they and the curve have replicates, row b of both is of the same draws and
        documents. Where one has none, it is taken to have no error.
    confidence : of the intervals: percentiles over replicates, NaN where there are none.

    Raises
    ------
    ErgokedroError
        If the component is not among those of the runs, or the numbers of replicates differ.
    """
    column = runs.column(curve.component)
    rows = np.flatnonzero(runs.observed[:, column])
    brackets = _brackets(curve.tokens, curve.xe, runs.xe[rows, column])
    ends = _ends(curve, runs, rows, confidence)
    equivalents = []
    for row, bracket, interval in zip(rows, brackets, ends, strict=True):
        value, bound = _value_and_bound(*bracket)
        tokens = Interval(value, *map(float, interval))
        share = Interval(*(part / float(runs.totals[row]) for part in tokens))
        equivalents.append(OwnTextEquivalent(curve.component, int(row), tokens, share, bound))
    return equivalents


def _value_and_bound(low: float, high: float) -> tuple[float, str]:
    """Of :class:`OwnTextEquivalent`, from the ends between which the equivalent lies."""
    if low == high:
        return float(low), ""
    if low > 0:
        return float(low), ">"
    return (float(high), "<") if np.isfinite(high) else (np.nan, "?")


def _ends(
    curve: SpecialistCurve, runs: MixtureRuns, rows: np.ndarray, confidence: float
) -> np.ndarray:
    """Low and high end and standard error of equivalents: float64 (n, 3), tokens."""
    unknown = np.full((len(rows), 3), np.nan)
    if curve.replicates is None and runs.replicates is None:
        return unknown
    column = runs.column(curve.component)
    curves = curve.xe[None] if curve.replicates is None else curve.replicates
    own = runs.xe if runs.replicates is None else runs.replicates
    values = own[..., rows, column].reshape(-1, len(rows))
    count = max(len(curves), len(values))
    if {len(curves), len(values)} - {1, count}:
        raise ErgokedroError(
            f"The curve of specialists of {curve.component} has {len(curves)} replicates and the "
            f"runs {len(values)}; both need the same, from the same draws and documents."
        )
    if not (np.isfinite(curves).all() and np.isfinite(values).all()):
        return unknown
    curves = np.broadcast_to(curves, (count, curves.shape[1]))
    values = np.broadcast_to(values, (count, len(rows)))
    pairs = zip(curves, values, strict=True)
    return _quantiles(np.array([_brackets(curve.tokens, *pair) for pair in pairs]), confidence)


def _quantiles(brackets: np.ndarray, confidence: float) -> np.ndarray:
    """Ends and standard errors (n, 3) from brackets (B, n, 2) of replicates."""
    tail = (1 - confidence) / 2
    # An order statistic: interpolation between infinite values would be NaN.
    low = np.quantile(brackets[:, :, 0], tail, axis=0, method="inverted_cdf")
    high = np.quantile(brackets[:, :, 1], 1 - tail, axis=0, method="inverted_cdf")
    known = (brackets[:, :, 0] == brackets[:, :, 1]).all(axis=0)
    errors = np.where(known, brackets[:, :, 0], 0.0).std(axis=0, ddof=1 if len(brackets) > 1 else 0)
    return np.stack([low, high, np.where(known, errors, np.nan)], axis=1)


def _brackets(tokens: np.ndarray, curve: np.ndarray, xe: np.ndarray) -> np.ndarray:
    """Between which ends equivalents lie: float64 (n, 2), equal where an equivalent is known.

    Beyond a largest size N that is (N, inf), below a smallest (0, N), and (0, inf) on a curve that
    does not fall.
    """
    from scipy.interpolate import PchipInterpolator

    log_tokens, falling = _falling(np.log(tokens), curve)
    if len(falling) < 2:
        return np.tile([0.0, np.inf], (len(xe), 1))
    inside = np.clip(xe, falling[-1], falling[0])
    values = np.exp(PchipInterpolator(-falling, log_tokens)(-inside))
    low = np.where(xe < falling[-1], tokens[-1], np.where(xe > falling[0], 0.0, values))
    high = np.where(xe < falling[-1], np.inf, np.where(xe > falling[0], tokens[0], values))
    return np.stack([low, high], axis=1)


def _falling(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of a strictly decreasing curve: the means of x and y where y does not fall."""
    from scipy.optimize import isotonic_regression

    if (np.diff(y) < 0).all():
        return x, y
    fitted = isotonic_regression(y, increasing=False)
    groups = np.repeat(np.arange(len(fitted.blocks) - 1), np.diff(fitted.blocks))
    counts = np.bincount(groups)
    return np.bincount(groups, x) / counts, fitted.x[fitted.blocks[:-1]]
