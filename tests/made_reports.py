"""Reports of made results, and what is read from them."""

from __future__ import annotations

from itertools import takewhile

import pandas as pd

from ergokedro.analysis.checks import acceptance
from ergokedro.analysis.measurement import xe_table
from ergokedro.parameters import Parameters
from ergokedro.reporting.report import (
    Report,
    build_report,
    render_markdown,
)
from synthetic_results import (
    make_design,
    make_history,
    make_manifests,
    make_summary,
)

QUESTION = "How does cross entropy change with the number of components in training?"


def make_report(results: pd.DataFrame) -> Report:
    manifests = make_manifests()
    return build_report(
        results,
        xe_table(results, make_design()),
        acceptance(results, bounds={1: 0.005, 5: 0.015}),
        make_design(),
        manifests,
        [make_summary(manifest) for manifest in manifests],
        {manifest.k: make_history(manifest.k) for manifest in manifests},
        Parameters(),
    )


def sentences(results: pd.DataFrame) -> list[str]:
    """The sentences of the report in Markdown: its paragraphs and the items of its lists."""
    lines = render_markdown(make_report(results), {}).splitlines()
    return [line.removeprefix("- ") for line in lines if line and line[0] not in "#|!"]


def answer(results: pd.DataFrame) -> str:
    """What the report opens with."""
    return sentences(results)[0]


def checks(results: pd.DataFrame) -> dict[str, str]:
    """State by the words of a check."""
    lines = [line for line in sentences(results) if line.startswith("*")]
    return {text: state for state, text in (line[1:].split("*: ", 1) for line in lines)}


def state_of(results: pd.DataFrame, words: str) -> str:
    """The state of the check that says `words`."""
    (state,) = [state for text, state in checks(results).items() if words in text]
    return state


def table(report: Report, title: str) -> list[list[str]]:
    """The cells of a table of the report in Markdown, without its heading."""
    _, section = render_markdown(report, {}).split(f"# {title}\n")
    lines = section.split("\n#")[0].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| "))
    rows = takewhile(lambda line: line.startswith("| "), lines[first + 2 :])
    return [row[2:-2].split(" | ") for row in rows]


def changed_headline(
    results: pd.DataFrame, value: float, half: float, decision: str
) -> pd.DataFrame:
    """The results with another difference of K = 5 to K = 1."""
    row = (results.quantity == "difference_to_k1") & (results.k == 5) & (results.split == "test")
    assert row.sum() == 1
    changed = results.copy()
    columns = ["value", "low", "high", "note"]
    changed.loc[row, columns] = [value, value - half, value + half, decision]
    return changed
