"""What held-out documents, which all runs share, add to the intervals of a law's parameters.

The scatter of runs about a law does not show what moves all of them together. Let C be the
covariance of the observations over held-out documents, J the derivatives of the law by its
parameters, and J⁺ its pseudoinverse. Estimates move by J⁺ times what the observations move, so
their variance over documents is the diagonal of J⁺ C J⁺ᵀ (the delta method; for least squares:
Seber and Wild 1989, Nonlinear regression, section 2.1). C is of bootstrap replicates that resample
the same documents for all runs.

What a document adds to one run alone is in C and in the scatter of the runs. Its size is that of
the part of C that the parameters do not follow, tr((1 - J J⁺) C) / (N - p), if it is the same for
all observations; it is counted once, as in :mod:`ergokedro.analysis.combined_variance`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from ergokedro.analysis.bootstrap import Interval
from ergokedro.analysis.combined_variance import Part, combine
from ergokedro.analysis.transfer.least_squares import pseudoinverse


class DocumentVariance(NamedTuple):
    """Variances of p estimates over the held-out documents of C components.

    Attributes
    ----------
    of_documents : float64 (C, p).
    overlap : float64 (p,), the part that is in the scatter of the runs, too.
    df : float64 (C,), degrees of freedom.
    """

    of_documents: np.ndarray
    overlap: np.ndarray
    df: np.ndarray


def document_variance(
    jacobian: np.ndarray, replicates: np.ndarray, component_of: np.ndarray, df: np.ndarray
) -> DocumentVariance:
    """Variances of estimates, from replicates of the observations.

    Parameters
    ----------
    jacobian : float64 (N, p), weighted derivatives of the predictions, with fewer independent
        columns than rows.
    replicates : float64 (B, N), the observations with the same weights.
    component_of : float64 (N, C), 1 where an observation is of the component, else 0.
    df : float64 (C,), degrees of freedom: held-out documents less one.
    """
    inverse, rank = pseudoinverse(jacobian)
    moved = replicates - replicates.mean(axis=0)
    not_followed = moved - moved @ inverse.T @ jacobian.T
    scatter = not_followed.var(axis=0, ddof=1).sum() / (len(jacobian) - rank)
    variances = [((moved * of) @ inverse.T).var(axis=0, ddof=1) for of in component_of.T]
    return DocumentVariance(np.array(variances), scatter * (inverse**2).sum(axis=1), df)


def add_documents(
    fitted: list[Interval],
    freedom: int,
    documents: DocumentVariance,
    bounds: tuple[np.ndarray, np.ndarray],
    confidence: float,
) -> list[Interval]:
    """Intervals by the scatter of the runs, widened by the documents, within the bounds.

    A side that ends at a bound stays there: how far it would go is not known. Both sides of an
    interval may differ: each is Student's quantile times the root of the combined
    variance, with the degrees of freedom that go with it.

    Parameters
    ----------
    fitted : p intervals by Student's t with `freedom` degrees of freedom.
    bounds : lower and upper, float64 (p,).
    """
    tail = (1 + confidence) / 2
    quantile = stdtrit(freedom, tail)

    def combined(error: float, index: int) -> Part:
        of_documents = documents.of_documents[:, index]
        parts = [Part(*pair) for pair in zip(of_documents, documents.df, strict=True)]
        return combine(Part(error**2, freedom), documents.overlap[index], parts)

    def side(length: float, index: int) -> float:
        variance, df = combined(length / quantile, index)
        return float(stdtrit(df, tail) * np.sqrt(variance))

    return [
        Interval(
            value,
            max(float(lower), value - side(value - low, i)) if low > lower else low,
            min(float(upper), value + side(high - value, i)) if high < upper else high,
            float(np.sqrt(combined(error, i).variance)),
        )
        for i, ((value, low, high, error), lower, upper) in enumerate(
            zip(fitted, *bounds, strict=True)
        )
    ]
