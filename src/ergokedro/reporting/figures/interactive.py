"""Charts as interactive figures, which look like their pictures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from ergokedro.reporting.figures.chart import Bars, Chart, Curve, Matrix
from ergokedro.reporting.figures.style import SOFT, as_text, on_dark
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
_GAP = 0.06  # between labels, of the height
_WRAP = 16  # characters in a line of a label
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
    figure.update_xaxes(title_text=plotly_text(chart.x.label), title_standoff=8, automargin=True)
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
    colours = sorted(set(_HEX.findall(str(figure.to_dict()))))
    figure.update_layout(meta={"dark": {colour: on_dark(colour) for colour in colours}})
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
    for text, end, colour in chart.labels(_GAP):
        figure.add_annotation(
            x=1, xref="paper", xanchor="left", xshift=6, align="left", showarrow=False,
            y=end, yref="y", text=_wrapped(text),
            font={"color": as_text(colour or SOFT), "size": 12},
        )  # fmt: skip
    longest = max((len(line) for t in chart.label_texts for line in _lines(t)), default=0)
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
        names = [plotly_text(shorten(name)) for name in chart.x.names]
        ticks = {"tickvals": list(range(len(names))), "ticktext": names}
        figure.update_xaxes(range=[-0.5, len(names) - 0.5], **ticks)


def _add_matrix(figure: go.Figure, chart: Chart, matrix: Matrix) -> None:
    values = matrix.values
    rows, columns = (
        [plotly_text(shorten(str(name))) for name in names]
        for names in (values.index, values.columns)
    )
    cells = [["?" if np.isnan(v) else f"{v:{matrix.spec}}" for v in row] for row in values.values]
    figure.add_heatmap(
        z=values.to_numpy(),
        x=list(range(len(columns))),
        y=list(range(len(rows))),
        text=[
            [f"<b>{cell}</b>" if strong else cell for cell, strong in zip(*pair, strict=True)]
            for pair in zip(cells, matrix.strong, strict=True)
        ],
        texttemplate="%{text}",
        hovertemplate="%{text}<extra></extra>",
        colorscale="Cividis",
        reversescale=True,
        showscale=False,
    )
    # Positions, since a category may look like a number or a date, or occur twice when cut.
    figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=columns)
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=rows, autorange="reversed", automargin=True,
        title_text=plotly_text(chart.rows),
    )  # fmt: skip


def _lines(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, _WRAP)


def _wrapped(text: str) -> str:
    return "<br>".join(plotly_text(line) for line in _lines(text))
