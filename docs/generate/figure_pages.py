"""A page per figure of the registry: what it shows, how to read it, when it is drawn."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from statistics import NormalDist

import pandas as pd

from ergokedro.analysis.controls import CONTROLS
from ergokedro.analysis.series import ResultRow, results_table
from ergokedro.reporting.figures import FIGURES, FigureSpec

# The examples are drawn from kept results, where these have what the figure shows.
EXAMPLE = "own-text"
OTHER_EXAMPLES = {"controls": "balanced-300k"}
NO_EXAMPLE = "The kept results do not have what this figure shows."
# What a token of the column is worth to the row; NaN: not determined.
WORTH = pd.DataFrame(
    [[1, 0.62, 0.05], [0.41, 1, -0.08], [0.12, float("nan"), 1]],
    index=["news", "novels", "code"],
    columns=["news", "novels", "code"],
)


def write(folder: Path, results: Path) -> None:
    """Write the pages, their pictures, an overview, and the list for the navigation.

    Parameters
    ----------
    results : folder of the kept results, one folder per experiment.
    """
    folder.mkdir(parents=True)
    overview = [
        "# Figures",
        "",
        "What each figure of a report shows, and how to read it. The pages are made from the "
        "registry of figures; [Add a figure](../howto/extend-figure.md) says how to add one.",
        "",
        "| figure | what it shows | it is drawn |",
        "|---|---|---|",
    ]
    names = ["- [All figures](index.md)"]
    for name, figure in FIGURES.items():
        example = _draw_example(folder / f"{name}.png", figure, results)
        (folder / f"{name}.md").write_text(page(name, figure, example), encoding="utf-8")
        overview.append(f"| [{figure.title}]({name}.md) | {shows(figure)} | {drawn(figure)} |")
        names.append(f"- [{figure.title}]({name}.md)")
    (folder / "index.md").write_text("\n".join(overview) + "\n", encoding="utf-8")
    (folder / "SUMMARY.md").write_text("\n".join(names) + "\n", encoding="utf-8")


def page(name: str, figure: FigureSpec, example: str | None) -> str:
    """The page of one figure in Markdown.

    Parameters
    ----------
    example : where the numbers of the example come from, as a sentence; None without example.
    """
    endings = [".png", ".svg"]
    if figure.interactive:
        endings += ["_column.png", "_column.svg", ".csv", ".json"]
    files = ", ".join(f"`{name}{ending}`" for ending in endings)
    picture = f"![{figure.title}: {shows(figure)}]({name}.png)\n\n{example}"
    parts = [
        f"# {figure.title}",
        picture if example else NO_EXAMPLE,
        f"## What it shows\n\n{shows(figure)}",
        f"## How to read it\n\n{figure.how_to_read}",
        f"## When it is drawn\n\n{drawn(figure).capitalize()}. Files in "
        f"`data/08_reporting/<experiment>/`: {files}.",
    ]
    return "\n\n".join(parts) + "\n"


def shows(figure: FigureSpec) -> str:
    """The first paragraph of the docstring of the function that draws it, in one line."""
    text = inspect.getdoc(figure.plot) or ""
    return " ".join(text.split("\n\n")[0].split())


def drawn(figure: FigureSpec) -> str:
    """When the figure is drawn, in words."""
    if figure.requires is None:
        return "in every experiment"
    controls = [f"`controls.{name}`" for name in CONTROLS if name in figure.requires]
    return f"with {' or '.join(controls)}"


def _draw_example(file: Path, figure: FigureSpec, results: Path) -> str | None:
    """Write an example, and say where its numbers come from.

    Drawn anew where the kept table of results is all that the figure needs, so that it looks as
    today; else the picture that was kept.
    """
    if file.stem == "exchange":
        figure.static(exchange_rows(WORTH)).savefig(file, dpi=110)
        return f"Example: numbers that were made up to show the form. {NO_EXAMPLE}"
    experiment = OTHER_EXAMPLES.get(file.stem, EXAMPLE)
    kept = results / experiment / file.name
    if figure.inputs == ("results",):
        table = pd.read_parquet(results / experiment / "results.parquet")
        figure.static(_complete(table)).savefig(file, dpi=110)
    elif kept.exists():
        file.write_bytes(kept.read_bytes())
    else:
        return None
    return (
        f"Example: the kept results `docs/results/{experiment}`; [Results](../results.md) has "
        "their command and commit."
    )


def exchange_rows(worth: pd.DataFrame) -> pd.DataFrame:
    """Rows of results that hold an exchange matrix."""
    return results_table(
        ResultRow(
            "law", 0, "test", "tau", "component", value, component=name, source=source,
            note="?" * pd.isna(value),
        )
        for name, row in worth.iterrows()
        for source, value in row.items()
        if name != source
    )  # fmt: skip


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Results that an earlier version wrote, with the columns of today."""
    missing = {f.name: f.default for f in fields(ResultRow) if f.name not in table}
    table = table.assign(**missing)
    if "degrees_of_freedom" in missing:  # intervals were percentiles, of the default coverage
        table.degrees_of_freedom = 1e9
        table.standard_error = (table.high - table.low) / 2 / NormalDist().inv_cdf(0.975)
    if "note" in missing:
        effects = table.quantity == "difference_to_k1"
        table.loc[effects & (table.low > 0), "note"] = "higher"
        table.loc[effects & (table.high < 0), "note"] = "lower"
    return table
