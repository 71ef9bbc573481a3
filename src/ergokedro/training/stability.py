"""Statistics of the losses and gradient norms of a finished training run."""

from __future__ import annotations

import numpy as np
import pandas as pd

# A loss spike lies above the running median by this number of median absolute deviations.
_SPIKE_MADS = 6
_SPIKE_WINDOW = 100


def stability(losses: np.ndarray, norms: np.ndarray) -> dict[str, float | int]:
    """Loss spikes, final loss and gradient norms of a run.

    A spike is a step whose loss lies above the median of the 100 steps before it (of at least 50
    near the start) by more than six of their median absolute deviations. The final loss is the mean
    over the last 2 % of steps, nats per token.

    Parameters
    ----------
    losses, norms : loss and gradient norm of every step, float64 (steps,).

    Returns
    -------
    Fields of :class:`ergokedro.design.records.TrainingSummary`.
    """
    recent = pd.Series(losses).rolling(_SPIKE_WINDOW, min_periods=_SPIKE_WINDOW // 2)
    # Shifted after rolling: a step is compared with the steps before it only.
    median = recent.median().shift(1).to_numpy()
    deviation = recent.apply(_median_deviation, raw=True).shift(1).to_numpy()
    tail = losses[-max(1, len(losses) // 50) :]
    return {
        "final_train_loss": float(tail.mean()),
        "loss_spikes": int((losses > median + _SPIKE_MADS * deviation).sum()),
        "nonfinite_steps": int((~np.isfinite(losses) | ~np.isfinite(norms)).sum()),
        "gradient_norm_median": float(np.median(norms)),
        "gradient_norm_max": float(norms.max()),
    }


def _median_deviation(values: np.ndarray) -> float:
    """Median absolute deviation from the median."""
    return float(np.median(np.abs(values - np.median(values))))
