"""The page that sets experiments side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from compared_experiments import finished
from ergokedro.analysis.comparison import Finished, compare
from ergokedro.reporting.comparison import (
    differences,
    effect_rows,
    paired_rows,
    plot_comparison,
    render_comparison,
)
from synthetic_results import PNG


def test_the_page_has_effects_paired_differences_and_what_differs() -> None:
    first = finished("first")
    longer = finished("longer_$x$", shift=-0.1, epochs=8)
    elsewhere = finished("elsewhere", store="another")
    experiments = [first, longer, elsewhere]
    table = compare(experiments)
    markdown, page = render_comparison(experiments, table, PNG)
    effect = effect_rows(table, ["first", "longer_$x$", "elsewhere"])[2]
    assert effect.k == 4
    assert effect.effects[0] is not None
    assert f"| 4 | {effect.effects[0].value:+.4f} [" in markdown
    assert markdown.count("-0.1000 [-0.1000, -0.1000]") == 5
    assert "| training.epochs | 4 | 8 | 4 |" in markdown.replace("\\", "")
    assert "| fingerprint of the token store | store | store | another |" in markdown
    assert "other windows, tokens or text: elsewhere" in markdown
    assert "longer_$x$" in page
    assert "data:image/png;base64," in page
    assert "http" not in page


def test_settings_that_are_the_same_are_left_out() -> None:
    rows = differences([finished("first"), finished("longer", epochs=8)])
    assert [(row.name, row.values) for row in rows] == [("training.epochs", ["4", "8"])]
    table = compare([finished("first"), finished("same")])
    assert (
        "Nothing: settings, corpus"
        in render_comparison([finished("first"), finished("same")], table, PNG)[0]
    )


def test_paired_rows_and_the_figure_have_every_experiment() -> None:
    names = ["first", "second", "third"]
    table = compare([finished(name, shift=0.1 * i) for i, name in enumerate(names)])
    rows = paired_rows(table)
    assert [(row.experiment, row.k) for row in rows] == [
        (name, k) for name in names[1:] for k in range(1, 6)
    ]
    assert rows[0].effect is None
    figure: Any = plot_comparison(table)
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == names


def test_paired_rows_have_the_series_of_the_page() -> None:
    """Sets that all experiments have run are compared as such, not by the chain alone."""
    experiments = [
        with_balanced_results(finished("first", sets=True)),
        with_balanced_results(finished("other", sets=True, at_k={3: 0.02})),
    ]
    table = compare(experiments)
    # As if the smallest component were affected in another way.
    table.loc[(table.series == "smallest") & (table.reference != ""), "value"] += 1
    rows = paired_rows(table)
    assert [row.xe and round(row.xe.value, 6) for row in rows] == [0, 0, 0.02, 0, 0]
    assert [row.effect and round(row.effect.value, 6) for row in rows] == [None, 0, 0.02, 0, 0]
    assert "series balanced, where" in render_comparison(experiments, table, PNG)[0]


def with_balanced_results(experiment: Finished) -> Finished:
    results = experiment.results
    smallest = results[results.series == "smallest"]
    balanced = pd.concat([results, smallest.assign(series="balanced")], ignore_index=True)
    return replace(experiment, results=balanced)
