"""Learning curves: validation cross entropy, and its distance from the training loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ergokedro.analysis.convergence import validation_curve
from ergokedro.design.mixture import Design
from ergokedro.reporting.checks import late_fall
from ergokedro.reporting.figures.chart import Axis, Chart, Curve, Level
from ergokedro.reporting.figures.style import colour_of

_TOKENS = Axis("training tokens seen, millions")
_START = 8  # the first eighth is left out of the view


def plot_learning_curves(design: Design, histories: Mapping[int, pd.DataFrame]) -> Chart:
    """Validation XE of every K on the smallest component, against tokens.

    Parameters
    ----------
    histories : K -> history.
    """
    smallest = design.components[0]
    curves = {k: validation_curve(h, [smallest]) for k, h in histories.items()}
    falls = {k: late_fall(history, smallest) for k, history in histories.items()}
    k, fall = max(falls.items(), key=lambda item: item[1])
    return Chart(
        f"In the last quarter of training cross entropy fell by {fall:.3f} nats at most (K = {k})",
        f"Cross entropy on validation text of {smallest}, nats per token. The first eighth of "
        "training is left out.",
        _TOKENS,
        _curves(curves, design),
    )


def plot_train_gap(design: Design, histories: Mapping[int, pd.DataFrame]) -> Chart:
    """Validation XE on the components trained on less the training loss, against tokens."""
    gaps = {k: train_gap(h, design.components[:k]) for k, h in histories.items()}
    k, gap = max(((k, float(gap.iloc[-1])) for k, gap in gaps.items()), key=lambda item: item[1])
    worse = f"worse than training text by {gap:.3f} nats at most (K = {k})"
    return Chart(
        f"Held-out text is predicted {worse if gap > 0 else 'no worse than training text'}",
        "Cross entropy on validation text of the components trained on, less the training loss "
        "(mean over 5 % of the run), nats per token. The first eighth of training is left out.",
        _TOKENS,
        _curves(gaps, design),
        levels=[Level(0, "no gap")],
    )


def train_gap(history: pd.DataFrame, components: list[str]) -> pd.Series:
    """Validation XE less the training loss of the same time, by tokens: float64, nats."""
    points = history[history.metric == "train_loss"].set_index("tokens").value
    loss = points.rolling(max(1, len(points) // 20)).mean()
    held_out = validation_curve(history, components)
    later = held_out[held_out.index >= loss.first_valid_index()]
    return later - np.interp(later.index, loss.index, loss)


def _curves(curves: Mapping[int, pd.Series], design: Design) -> list[Curve]:
    """One curve per K without its steep start, which would flatten the rest."""
    parts = []
    for k, whole in curves.items():
        curve = whole[whole.index >= whole.index[-1] / _START]
        nothing = np.full(len(curve), np.nan)
        colour = colour_of(k, len(design.components))
        tokens = curve.index.to_numpy() / 1e6
        parts.append(Curve(f"K = {k}", tokens, curve.to_numpy(), nothing, nothing, colour, "o"))
    return parts
