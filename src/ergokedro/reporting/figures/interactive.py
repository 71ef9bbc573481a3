"""Charts as interactive figures, which look like their pictures."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ergokedro.reporting.figures.chart import Bars, Chart, Curve, Matrix
from ergokedro.reporting.figures.style import MIDDLE, SOFT, as_text, on_dark
from ergokedro.reporting.text import plotly_text, shorten

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SYMBOLS = {
    "o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down",
    "<": "triangle-left", ">": "triangle-right", "p": "pentagon", "X": "x", "*": "star",
    "_": "line-ew-open", "x": "x-thin-open", "": "circle",
}  # fmt: skip
_DASHES = {"solid": "solid", "dashed": "dash", "dotted": "dot", "none": "solid"}
_DASH, _MARK = 26, 10  # pixels
_GAP = 0.06  # between the lines of labels, of the height
_WRAP, _WRAP_AXIS = 16, 36  # characters in a line of a label, and of what an axis shows
_ANGLES = [0, -30, -90]  # of categories, the first at which they do not overlap
_LONGEST_TICK = 18  # characters of a category beside an axis
# On a phone: pixels of all columns of a matrix, and of a character of its numbers.
_COLUMNS, _NUMBER, _CHARACTER = 250, 12, 7
_HEX = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)


def chart_to_plotly(chart: Chart) -> go.Figure:
    """The chart; `layout.meta.dark` has the colours on a dark ground by those on a light one."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.update_layout(margin={"l": 10, "r": 10, "t": 10, "b": 10})
    if chart.matrix is not None:
        _add_matrix(figure, chart, chart.matrix)
    else:
        _add_parts(figure, chart)
    title = {"text": _wrapped(chart.x.label, _WRAP_AXIS), "font": {"size": 13}, "standoff": 8}
    figure.update_xaxes(title=title, automargin=True)
    figure.update_layout(
        template="simple_white",
        title={
            "text": plotly_text(chart.title),
            "subtitle": {"text": plotly_text(chart.note)},
            "font": {"size": 15},
        },
        barmode="overlay",
        showlegend=False,
        hoverlabel={"namelength": -1},
    )
    # The cells of a matrix are a ground of their own; only what has no cell is on the page's.
    colours = {SOFT} if chart.matrix else set(_HEX.findall(str(figure.to_dict())))
    figure.update_layout(meta={"dark": {colour: on_dark(colour) for colour in sorted(colours)}})
    return figure


def _add_parts(figure: go.Figure, chart: Chart) -> None:
    for part in chart.parts:
        name = plotly_text(shorten(part.label))
        if isinstance(part, Bars):
            figure.add_bar(
                x=part.x, y=part.value, base=part.base, width=0.6, name=name,
                marker_color=part.colour, hovertemplate="%{customdata:.4f}", customdata=part.value,
            )  # fmt: skip
        else:
            _add_curve(figure, part, name)
    for level in chart.levels:
        figure.add_hline(level.value, line={"color": SOFT, "width": 1, "dash": "dash"})
    low, high = chart.span
    figure.update_yaxes(range=[low, high], showgrid=True, automargin=True)
    _set_axis(figure, chart)
    lines = [textwrap.wrap(text, _WRAP) for text in chart.label_texts]
    for text, end, colour in chart.labels(_GAP * max(map(len, lines), default=1)):
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=6, align="left", showarrow=False,
            y=end, yref="y", text=_wrapped(text, _WRAP),
            font={"color": as_text(colour or SOFT), "size": 12},
        )  # fmt: skip
    longest = max((len(line) for label in lines for line in label), default=0)
    figure.update_layout(margin_r=12 + 7 * longest)


def _add_curve(figure: go.Figure, curve: Curve, name: str) -> None:
    ends = {"array": curve.high - curve.value, "arrayminus": curve.value - curve.low}
    known = bool(np.isfinite(curve.low).any())
    if curve.band and known:
        figure.add_scatter(
            x=np.concatenate([curve.x, curve.x[::-1]]),
            y=np.concatenate([curve.low, curve.high[::-1]]),
            fill="toself", opacity=0.2, mode="none", fillcolor=curve.colour, hoverinfo="skip",
        )  # fmt: skip
    mode = "lines" if not curve.marker else "markers" if curve.line == "none" else "lines+markers"
    figure.add_scatter(
        x=curve.x,
        y=curve.value,
        name=name,
        mode=mode,
        line={"color": curve.colour, "dash": _DASHES[curve.line]},
        marker={
            "color": curve.colour,
            "symbol": _SYMBOLS[curve.marker],
            "size": _DASH if curve.marker == "_" else _MARK,
        },
        error_y={"width": 0, **ends} if known and not curve.band else None,
        customdata=np.stack([curve.low, curve.high], axis=1),
        hovertemplate="%{y:.4f}" + (" [%{customdata[0]:.4f}, %{customdata[1]:.4f}]" * known),
    )


def _set_axis(figure: go.Figure, chart: Chart) -> None:
    """The horizontal axis."""
    if chart.x.kind == "log":
        figure.update_xaxes(type="log", tickvals=[2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000])
    elif chart.x.kind == "whole":
        figure.update_xaxes(dtick=1)
    elif chart.x.kind == "category":
        names = _ticks(chart.x.names)
        ticks = {"tickvals": list(range(len(names))), "ticktext": names}
        figure.update_xaxes(range=[-0.5, len(names) - 0.5], autotickangles=_ANGLES, **ticks)


def _add_matrix(figure: go.Figure, chart: Chart, matrix: Matrix) -> None:
    values = matrix.values
    rows, columns = _ticks(map(str, values.index)), _ticks(map(str, values.columns))
    cells = [["" if np.isnan(v) else f"{v:{matrix.spec}}" for v in row] for row in values.values]
    width = max((len(cell) for row in cells for cell in row), default=0) * _CHARACTER
    fits = len(columns) * width < _COLUMNS
    figure.add_heatmap(
        z=values.to_numpy(),
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        text=[
            [f"<b>{cell}</b>" if strong else cell for cell, strong in zip(*pair, strict=True)]
            for pair in zip(cells, matrix.strong, strict=True)
        ],
        texttemplate="%{text}",
        textfont={"size": _NUMBER if fits else None},  # else so small that it fits
        hovertemplate="%{text}<extra></extra>",
        colorscale="Cividis",
        reversescale=True,
        showscale=False,
    )
    for row, column in np.argwhere(matrix.hatched) if matrix.hatched is not None else ():
        _hatch(figure, float(column), float(row))
    for row, column in np.argwhere(values.isna()):
        figure.add_annotation(
            x=column, y=row, text="?", showarrow=False, font={"color": SOFT, "size": _NUMBER}
        )
    # Positions, since a category may look like a number or a date, or occur twice when cut.
    ticks = {"tickvals": list(range(len(columns))), "ticktext": columns}
    figure.update_xaxes(autotickangles=_ANGLES, **ticks)
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=rows, autorange="reversed", automargin=True,
        title_text=plotly_text(chart.rows),
    )  # fmt: skip


def _hatch(figure: go.Figure, x: float, y: float) -> None:
    """Lines across the cell whose middle is (x, y)."""
    for start in (-0.25, 0.0, 0.25):
        figure.add_shape(
            type="line", x0=x + start - 0.25, x1=x + start + 0.25, y0=y + 0.5, y1=y - 0.5,
            line={"color": MIDDLE, "width": 1},
        )  # fmt: skip


def _ticks(names: Iterable[str]) -> list[str]:
    return [plotly_text(shorten(name, _LONGEST_TICK)) for name in names]


def _wrapped(text: str, width: int) -> str:
    return "<br>".join(plotly_text(line) for line in textwrap.wrap(text, width))
