"""A page per figure of the registry: what it shows, how to read it, when it is drawn."""

from __future__ import annotations

import inspect
from pathlib import Path

import pandas as pd

from ergokedro.analysis.controls import CONTROLS
from ergokedro.reporting.figures import FIGURES, FigureSpec

# The examples are drawn from kept results, where these have what the figure shows.
EXAMPLE = "own-text"
OTHER_EXAMPLES = {"controls": "balanced-300k"}
NO_EXAMPLE = "The kept results do not have what this figure shows."


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
    experiment = OTHER_EXAMPLES.get(file.stem, EXAMPLE)
    kept = results / experiment / file.name
    if figure.inputs == ("results",):
        table = pd.read_parquet(results / experiment / "results.parquet")
        figure.static(table).savefig(file, dpi=110)
    elif kept.exists():
        file.write_bytes(kept.read_bytes())
    else:
        return None
    return (
        f"Example: the kept results `docs/results/{experiment}`; [Results](../results.md) has "
        "their command and commit."
    )
