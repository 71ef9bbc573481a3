"""Nodes from the files of finished experiments to one page on all of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ergokedro.analysis import comparison
from ergokedro.analysis.comparison import Finished
from ergokedro.reporting.comparison import plot_comparison, render_comparison


def read_experiments(
    experiments: str,
    settings: dict[str, Any],
    results: dict[str, Any],
    designs: dict[str, Any],
    windows: dict[str, Any],
    nll: dict[str, Any],
) -> list[Finished]:
    """Read the finished experiments that the setting `experiments` names."""
    return comparison.read_finished(experiments, settings, results, designs, windows, nll)


def compare_experiments(experiments: list[Finished]) -> pd.DataFrame:
    """The effects of K of all experiments, and paired differences to the first of them."""
    return comparison.compare(experiments)


def plot_effects(comparison: pd.DataFrame) -> Any:
    """The effect of K of every experiment, with its interval."""
    return plot_comparison(comparison)


def write_comparison(
    experiments: list[Finished], comparison: pd.DataFrame, picture: bytes
) -> tuple[str, str]:
    """The page in Markdown and in HTML."""
    return render_comparison(experiments, comparison, picture)
