"""Bayes mixtures of predictors: exact sources or trained models."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from ergokedro.data.hmm import require_distributions
from ergokedro.errors import ErgokedroError


def mixture_nll(nll: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Exact NLL of the Bayes mixture of predictors, whose weights follow the evidence so far.

    p(x_t | x_<t) = sum_m w_m(x_<t) p_m(x_t | x_<t), with w_m proportional to prior_m p_m(x_<t).
    The predictors may be exact sources or trained models.

    Parameters
    ----------
    nll : float (m, n, T), nats, of every predictor on the same n sequences.
    prior : float (m,), sums to 1; or (m, n), one of every sequence.

    Returns
    -------
    float64 (n, T), nats; infinite from the first word on that every predictor rules out. Summed
    over t it exceeds no predictor's sum by more than -log prior_m, on any sequence.

    Raises
    ------
    ErgokedroError
        If `prior` is no distribution over the m predictors.
    """
    total = logsumexp(_log_evidence(nll, prior), axis=0)
    possible = ~np.isneginf(total[:, :-1])
    # total never rises, so where the past is impossible the next word costs infinity.
    return np.subtract(
        total[:, :-1], total[:, 1:], out=np.full(total[:, 1:].shape, np.inf), where=possible
    )


def component_posterior(nll: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Posterior probability of every predictor after 0..T words.

    Parameters
    ----------
    nll, prior : as in :func:`mixture_nll`.

    Returns
    -------
    float64 (m, n, T + 1), sums to 1 over m; NaN after a word that every predictor rules out.

    Raises
    ------
    ErgokedroError
        If `prior` is no distribution over the m predictors.
    """
    evidence = _log_evidence(nll, prior)
    total = logsumexp(evidence, axis=0)
    undefined = np.full(evidence.shape, np.nan)
    return np.exp(np.subtract(evidence, total, out=undefined, where=~np.isneginf(total)))


def _log_evidence(nll: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """log(prior_m p_m(x_1..x_t)) for t = 0..T: (m, n, T + 1)."""
    prior = np.asarray(prior, dtype=np.float64)
    if prior.shape not in (nll.shape[:1], nll.shape[:2]):
        raise ErgokedroError(
            f"prior must give one number for each of the {len(nll)} predictors, or for each of "
            f"them and of the {nll.shape[1]} sequences, not {prior.shape}"
        )
    require_distributions("prior", prior.T)
    prior = prior.reshape(len(nll), -1)
    log_likelihood = -np.cumsum(nll, axis=2, dtype=np.float64)
    start = np.zeros((*nll.shape[:2], 1))
    with np.errstate(divide="ignore"):
        return np.concatenate([start, log_likelihood], axis=2) + np.log(prior)[:, :, None]
