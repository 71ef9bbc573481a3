"""The series in which the effect of K is shown for several experiments."""

from __future__ import annotations

import pandas as pd

from ergokedro.reporting.results import effect_series


def test_the_balanced_effect_is_shown_where_all_experiments_with_an_effect_have_it() -> None:
    def chosen(*rows: tuple[str, str, str]) -> str:
        return effect_series(pd.DataFrame(rows, columns=["experiment", "quantity", "series"]))

    smallest = ("a", "difference_to_k1", "smallest")
    balanced = ("a", "difference_to_k1", "balanced")
    assert chosen(smallest) == "smallest"
    assert chosen(smallest, balanced) == "balanced"
    assert chosen(smallest, balanced, ("b", "difference_to_k1", "smallest")) == "smallest"
    # Of an experiment with K = 1 alone there is no effect.
    assert chosen(smallest, balanced, ("b", "xe", "smallest")) == "balanced"
    assert chosen(("b", "xe", "smallest")) == "smallest"
