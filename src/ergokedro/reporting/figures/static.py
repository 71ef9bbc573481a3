"""Charts as pictures, in the sizes of a slide and of a column of a paper."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ergokedro.reporting.figures.chart import Bars, Chart, Curve, Matrix
from ergokedro.reporting.figures.fonts import fit_fonts
from ergokedro.reporting.figures.style import GRID, INK, SOFT, as_text
from ergokedro.reporting.text import plain_text, shorten, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
_STYLES = {"solid": "-", "dashed": "--", "dotted": ":", "none": "none"}
_CHARACTER = 0.53  # mean width of a character, in units of the font size
_PLOT = 0.68  # part of the width and height that the axes take, about
_LABELS = 0.24  # part of the width for labels at the right end
_EDGE = 0.01  # left of the title, of the width
_DASH = 2.2  # length of the marker '_', of the font
_SMALL = 0.8  # of the font, for what is not the title


@dataclass(frozen=True)
class Size:
    """Inches, points of the font, and how many characters of a category fit beside an axis."""

    width: float
    height: float
    font: float
    longest: int

    def wrap(self, text: str, share: float = 0.93, scale: float = _SMALL) -> str:
        """`text` in lines that fit into a share of the width, in `scale` times the font.

        As matplotlib takes it: literally.
        """
        characters = share * self.width * 72 / (self.font * scale * _CHARACTER)
        return "\n".join(map(plain_text, textwrap.wrap(visible(text), int(characters))))

    def fits(self, text: str, parts: int) -> bool:
        """Whether a small text fits into one of so many parts of the plot's width."""
        return len(text) * self.font * _SMALL * _CHARACTER < 0.95 * _PLOT * self.width * 72 / parts


SLIDE, COLUMN = Size(9.0, 5.4, 15, longest=30), Size(3.4, 2.8, 8, longest=16)


def draw_chart(chart: Chart, size: Size = SLIDE) -> Figure:
    """The chart in one size, with fonts that have the characters of its texts."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": _SMALL * size.font, "text.color": INK}):
        figure = Figure(figsize=(size.width, size.height), layout="constrained")
        axis = figure.subplots()
        if chart.matrix is not None:
            _draw_matrix(axis, chart, chart.matrix, size)
        else:
            _draw_parts(axis, chart, size)
        axis.set_xlabel(size.wrap(chart.x.label, _PLOT), color=SOFT)
        axis.spines[:].set_color(SOFT)
        axis.spines[["top", "right"]].set_visible(False)
        _write_title(figure, axis, chart, size)
    fit_fonts(figure)
    figure.draw_without_rendering()  # places the axes
    figure.set_layout_engine("none")
    _space_labels(axis, chart)
    return figure


def _write_title(figure: Figure, axis: Axes, chart: Chart, size: Size) -> None:
    """The finding and, below it, what is shown, both from the left edge of the figure."""
    from matplotlib.transforms import blended_transform_factory

    title = size.wrap(chart.title, scale=1.07)
    figure.suptitle(title, x=_EDGE, ha="left", weight="bold", fontsize=size.font)
    note = axis.set_title(size.wrap(chart.note), loc="left", fontsize=_SMALL * size.font)
    note.set_color(SOFT)
    note.set_transform(blended_transform_factory(figure.transFigure, note.get_transform()))
    note.set_x(_EDGE)


def _draw_parts(axis: Axes, chart: Chart, size: Size) -> None:
    for part in chart.parts:
        if isinstance(part, Bars):
            axis.bar(part.x, part.value, 0.6, bottom=part.base, color=part.colour)
        else:
            _draw_curve(axis, part, size.font)
    for level in chart.levels:
        axis.axhline(level.value, color=SOFT, lw=0.08 * size.font, ls="--")
    axis.set_ylim(*chart.span)
    axis.grid(axis="y", color=GRID, lw=0.05 * size.font)
    axis.set_axisbelow(True)
    axis.tick_params(color=SOFT, labelcolor=INK)
    _set_ticks(axis, chart, size)
    _write_labels(axis, chart, size)


def _draw_curve(axis: Axes, curve: Curve, font: float) -> None:
    width, known = 0.12 * font, np.isfinite(curve.low)
    if curve.band:
        axis.fill_between(curve.x, curve.low, curve.high, color=curve.colour, alpha=0.15, lw=0)
    else:
        ends = curve.x[known], curve.low[known], curve.high[known]
        axis.vlines(*ends, color=curve.colour, lw=width)
    axis.plot(
        curve.x,
        curve.value,
        color=curve.colour,
        lw=width,
        ls=_STYLES[curve.line],
        marker=curve.marker or "none",
        ms=_DASH * font if curve.marker == "_" else 0.5 * font,
        mew=width if curve.marker == "_" else None,
    )


def _set_ticks(axis: Axes, chart: Chart, size: Size) -> None:
    """The ticks of the horizontal axis."""
    drawn = np.unique(np.concatenate([part.x for part in chart.parts] or [np.ones(1)]))
    if chart.x.kind == "log":
        ticks = [tick for tick in _TICKS if drawn.min() <= tick <= drawn.max()]
        axis.set_xscale("log")
        axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axis.minorticks_off()
    elif chart.x.kind == "whole":
        axis.set_xticks(drawn)
        axis.set_xlim(drawn.min() - 0.5, drawn.max() + 0.5)
    elif chart.x.kind == "category":
        _name_ticks(axis.xaxis, chart.x.names, size)
        axis.set_xlim(-0.5, len(chart.x.names) - 0.5)


def _name_ticks(axis: Any, names: Sequence[str], size: Size) -> None:
    """The ticks of an axis (`axes.xaxis` or `axes.yaxis`) are categories."""
    labels = [shorten(name, size.longest) for name in names]
    axis.set_ticks(range(len(labels)), [plain_text(label) for label in labels])
    if axis.axis_name == "x" and not all(size.fits(label, len(labels)) for label in labels):
        for text in axis.get_ticklabels():
            text.set(rotation=30, ha="right", rotation_mode="anchor")


def _write_labels(axis: Axes, chart: Chart, size: Size) -> None:
    """The labels of parts and levels, at the right end."""
    for text, end, colour in chart.labels(0):
        axis.annotate(
            size.wrap(text, _LABELS),
            (1, end),
            (0.5 * size.font, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            color=as_text(colour or SOFT),
            annotation_clip=False,
        )


def _space_labels(axis: Axes, chart: Chart) -> None:
    """Move the labels off each other, now that the height of the axes is known."""
    if chart.matrix is None and axis.texts:
        heights = [text.get_window_extent().height for text in axis.texts]
        gap = 1.1 * max(heights) / axis.get_window_extent().height
        for text, (_, end, _) in zip(axis.texts, chart.labels(gap), strict=True):
            text.xy = (1, end)  # type: ignore[attr-defined]


def _draw_matrix(axis: Axes, chart: Chart, matrix: Matrix, size: Size) -> None:
    from matplotlib.patches import Rectangle

    values = matrix.values
    axis.imshow(values, cmap="cividis_r", aspect="auto")
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    width = _PLOT * size.width * 72 / values.shape[1]
    for row, column in np.ndindex(values.shape):
        value = values.iloc[row, column]
        text = "?" if np.isnan(value) else f"{value:{matrix.spec}}"
        axis.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=min(_SMALL * size.font, 0.9 * width / (_CHARACTER * len(text) + 1)),
            color="white" if value > middle else "black",
            weight="bold" if matrix.strong[row, column] else "normal",
        )
    if matrix.hatched is not None:
        for row, column in np.argwhere(matrix.hatched):
            corner = column - 0.5, row - 0.5
            axis.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", ec=SOFT, lw=0))
    _name_ticks(axis.xaxis, [str(name) for name in values.columns], size)
    _name_ticks(axis.yaxis, [str(name) for name in values.index], size)
    axis.set_ylabel(plain_text(chart.rows), color=SOFT)
