"""The page that sets experiments side by side, in Markdown and in HTML."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ergokedro.analysis.comparison import Finished
from ergokedro.reporting import rendering
from ergokedro.reporting.figures.axes import error_bars, k_axis, make_figure
from ergokedro.reporting.figures.fonts import fit_fonts
from ergokedro.reporting.figures.style import (
    DIFFERENCE_LABEL,
    MIDDLE,
    category_marker,
    control_colour,
)
from ergokedro.reporting.pictures import Picture
from ergokedro.reporting.report import flat_settings
from ergokedro.reporting.results import Estimate, effect_series, interval_note, pick_rows
from ergokedro.reporting.text import plain_text, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURE = "comparison"
_WIDTH = 90  # characters of a line above the picture
# Where an experiment's files are says nothing of the experiment.
_OF_PLACE = {"experiment", "experiments", "shared_data", "plan", "largest_sweep"}


@dataclass(frozen=True)
class Difference:
    """What differs: one value per experiment, in their order."""

    name: str
    values: list[str]


@dataclass(frozen=True)
class EffectRow:
    """The effect of one K in every experiment, None where it was not measured."""

    k: int
    effects: list[Estimate | None]


@dataclass(frozen=True)
class PairedRow:
    """One K of an experiment against the reference, on the same windows."""

    experiment: str
    k: int
    xe: Estimate | None
    effect: Estimate | None


def effect_rows(table: pd.DataFrame, names: list[str], split: str = "test") -> list[EffectRow]:
    """The effect of every K that any experiment has, ascending."""
    rows = pick_rows(table[table.reference == ""], "difference_to_k1", effect_series(table), split)
    return [
        EffectRow(int(k), [_estimate(group[group.experiment == name]) for name in names])
        for k, group in rows.groupby("k")
    ]


def paired_rows(table: pd.DataFrame, split: str = "test") -> list[PairedRow]:
    """Differences to the reference by experiment and K, of the series that the page shows.

    Where the components are not the same, XE is that on all of the reference's.
    """
    series = effect_series(table)
    paired = table[(table.reference != "") & (table.split == split)]
    rows = []
    for (name, k), group in paired.groupby(["experiment", "k"], sort=False):
        of_series = group[group.series == series]
        effect = _estimate(of_series[of_series.quantity == "effect_difference"])
        xe = _estimate(of_series[of_series.quantity == "xe_difference"])
        everywhere = group[(group.quantity == "xe_difference") & (group.series == "all")]
        rows.append(PairedRow(str(name), int(k), xe or _estimate(everywhere), effect))
    return rows


def _estimate(rows: pd.DataFrame) -> Estimate | None:
    """The first of the rows; None if there is none."""
    return next((Estimate.of(row) for row in rows.itertuples()), None)


def differences(experiments: list[Finished]) -> list[Difference]:
    """The settings, components, corpora and versions that are not the same in all experiments."""
    described = [_describe(finished) for finished in experiments]
    names = list(dict.fromkeys(name for values in described for name in values))
    rows = [Difference(name, [str(d.get(name, "none")) for d in described]) for name in names]
    return [row for row in rows if len(set(row.values)) > 1]


def _describe(finished: Finished) -> dict[str, Any]:
    """Everything that may differ, by name."""
    experiment = finished.experiment
    design = experiment.design
    store, tokenizer, windows = finished.measured_on
    settings = flat_settings(finished.parameters)
    versions = finished.arrays[0].meta.versions
    return {
        **{name: value for name, value in settings.items() if name not in _OF_PLACE},
        "components": ", ".join(design.components),
        "D, training tokens per epoch": f"{design.total_tokens:,}",
        "held-out windows": f"{len(experiment.windows):,}",
        "fingerprint of the held-out windows": windows[:12],
        "fingerprint of the token store": store[:12],
        "fingerprint of the tokenizer": tokenizer[:12],
        **{f"version of {name}": version for name, version in versions.items()},
    }


def plot_comparison(table: pd.DataFrame, split: str = "test") -> Figure:
    """The effect of K of every experiment, with its interval."""
    series = effect_series(table)
    rows = pick_rows(table[table.reference == ""], "difference_to_k1", series, split)
    figure, (axis,) = make_figure(1, width=7)
    for index, (name, effects) in enumerate(rows.groupby("experiment", sort=False)):
        style = {"color": control_colour(index), "marker": category_marker(index)}
        # Side by side, so that intervals do not hide each other.
        shifted = effects.assign(k=effects.k + 0.06 * index)
        error_bars(axis, shifted, plain_text(shorten(str(name))), **style)
    axis.axhline(0, color=MIDDLE, lw=0.8, linestyle=":")
    k_axis(axis, rows.k.unique())
    axis.set_ylabel(DIFFERENCE_LABEL)
    note = f"K less K = 1, {series} series, {split} text.{interval_note(table, rows)}"
    axis.set_title(textwrap.fill(note, _WIDTH), loc="left", fontsize=10)
    axis.legend(frameon=False, fontsize=9)
    fit_fonts(figure)
    return figure


def render_comparison(
    experiments: list[Finished], table: pd.DataFrame, png: bytes
) -> tuple[str, str]:
    """The page in Markdown, which refers to the picture beside it, and in HTML, which holds it."""
    names = [finished.name for finished in experiments]
    paired = paired_rows(table)
    content: dict[str, Any] = {
        "names": names,
        "series": effect_series(table),
        "effects": effect_rows(table, names),
        "paired": paired,
        "unpaired": [name for name in names[1:] if name not in {row.experiment for row in paired}],
        "differences": differences(experiments),
        "picture": Picture.read(_PICTURE, "Effect of K in every experiment", png),
    }
    return (
        rendering.render_markdown("comparison.md.j2", **content),
        rendering.render_html("comparison.html.j2", **content),
    )
