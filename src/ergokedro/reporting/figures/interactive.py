"""Interactive figures, for Kedro-Viz: the same numbers and colours as the printed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from ergokedro.reporting.figures.common import (
    K_LABEL,
    SERIES,
    XE_LABEL,
    colour_of,
    n_components,
    pick_rows,
)
from ergokedro.reporting.figures.decomposition import TERM_STYLES

if TYPE_CHECKING:
    import plotly.graph_objects as go

_POSITION = "position t in the window, tokens (log scale)"
_POSITIONS = {"type": "log", "tickvals": [2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000]}


def plotly_xe_by_k(results: pd.DataFrame, split: str = "test") -> go.Figure:
    """The headline figure, interactive: one panel for each series."""
    figure = _panels([title for title, _, _ in SERIES.values()])
    for column, (series, (_, colour, _)) in enumerate(SERIES.items(), start=1):
        xe = pick_rows(results, "xe", series, split)
        line = {"color": colour}
        figure.add_scatter(
            x=xe.k,
            y=xe.value,
            error_y=_errors(xe),
            line=line,
            name="trained model",
            showlegend=False,
            row=1,
            col=column,
        )
        exact = pick_rows(results, "exact_xe", series, split)
        if not exact.empty:
            marker = {"symbol": "line-ew-open", "size": 14, "color": "black"}
            figure.add_scatter(
                x=exact.k,
                y=exact.value,
                mode="markers",
                marker=marker,
                name="exact optimum (dash)",
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.update_xaxes(title_text=K_LABEL, dtick=1, row=1, col=column)
    figure.update_yaxes(title_text=XE_LABEL, row=1, col=1)
    return _titled(figure, f"Cross entropy on {split} text, at equal totals of training tokens")


def plotly_in_context_xe(results: pd.DataFrame, split: str = "test") -> go.Figure:
    """L(t) of every K in bins of t, dashed the optimum: series chain, and smallest component."""
    from matplotlib.colors import to_hex

    names = ("chain", "smallest")
    figure = _panels([SERIES[name][0] for name in names])
    for column, series in enumerate(names, start=1):
        curves = pick_rows(results, "binned_in_context_xe", series, split)
        exact = pick_rows(results, "exact_binned_in_context_xe", series, split)
        for k, curve in curves.groupby("k"):
            colour = to_hex(colour_of(k, n_components(results)))
            common = {"legendgroup": f"K = {k}", "row": 1, "col": column}
            figure.add_scatter(
                x=curve.position,
                y=curve.value,
                error_y=_errors(curve) | {"thickness": 1, "width": 2},
                name=f"K = {k}",
                showlegend=column == 1,
                line={"color": colour},
                **common,
            )
            best = exact[exact.k == k]
            if not best.empty:
                figure.add_scatter(
                    x=best.position,
                    y=best.value,
                    mode="lines",
                    name=f"K = {k}: exact optimum (dashed)",
                    showlegend=False,
                    line={"color": colour, "dash": "dash"},
                    **common,
                )
        figure.update_xaxes(title_text=_POSITION, **_POSITIONS, row=1, col=column)
    figure.update_yaxes(title_text=f"L(t): {XE_LABEL}", row=1, col=1)
    known = pick_rows(results, "exact_xe", "chain", split)
    dashed = "" if known.empty else " (dashed: exact optimum)"
    return _titled(figure, f"Cross entropy in context on {split} text{dashed}")


def plotly_component_heatmap(results: pd.DataFrame, split: str = "test") -> go.Figure:
    """XE of every K on every component; hovering says whether K was trained on it."""
    import plotly.graph_objects as go

    rows = pick_rows(results, "xe", "component", split)
    components = list(dict.fromkeys(rows.component))
    hints = rows.trained.map({True: "trained on", False: "not trained on"})
    hints += rows.apply(lambda row: f"<br>[{row.low:.4f}, {row.high:.4f}]", axis=1)
    tables = {
        name: rows.assign(hint=hints).pivot(index="k", columns="component", values=name)[components]
        for name in ("value", "hint")
    }
    heatmap = go.Heatmap(
        z=tables["value"],
        x=components,
        y=[f"K = {k}" for k in tables["value"].index],
        customdata=tables["hint"],
        colorscale="Cividis",
        reversescale=True,
        texttemplate="%{z:.3f}",
        hovertemplate="%{y} on %{x}: %{z:.4f}<br>%{customdata}<extra></extra>",
        colorbar={"title": XE_LABEL},
    )
    figure = go.Figure(heatmap)
    figure.update_xaxes(title_text="component that is predicted")
    figure.update_yaxes(title_text="components in training", autorange="reversed")
    return _titled(figure, f"Every K on every component, {split} text")


def plotly_decomposition(results: pd.DataFrame, split: str = "test") -> go.Figure:
    """The terms of the cost of K, stacked, their sum, and the bound on identification."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, (label, colour) in TERM_STYLES.items():
        rows = pick_rows(results, name, "chain", split)
        figure.add_bar(
            x=rows.k,
            y=rows.value,
            name=label,
            marker_color=colour,
            customdata=rows[["low", "high"]],
            hovertemplate="%{y:.4f} [%{customdata[0]:.4f}, %{customdata[1]:.4f}]",
        )
    cost = pick_rows(results, "cost", "chain", split)
    black = {"color": "black", "symbol": "diamond"}
    figure.add_scatter(
        x=cost.k,
        y=cost.value,
        error_y=_errors(cost),
        mode="markers",
        marker=black,
        name="cost of K, the sum",
    )
    bound = pick_rows(results, "identification_bound", "chain", split)
    starvation = pick_rows(results, "starvation", "chain", split).value.to_numpy()
    figure.add_scatter(
        x=bound.k,
        y=starvation + bound.value,
        mode="markers",
        marker={"symbol": "line-ew-open", "size": 30, "color": "black"},
        name="most for identification: log K / (W - 1)",
    )
    figure.update_layout(barmode="relative")
    figure.update_xaxes(title_text=K_LABEL, dtick=1)
    figure.update_yaxes(title_text="nats a token")
    return _titled(figure, f"Cost of K over specialists with all D tokens, {split} text")


def _panels(titles: list[str]) -> go.Figure:
    from plotly.subplots import make_subplots

    return make_subplots(cols=len(titles), subplot_titles=titles)


def _errors(rows: pd.DataFrame) -> dict[str, Any]:
    return {"array": rows.high - rows.value, "arrayminus": rows.value - rows.low}


def _titled(figure: go.Figure, title: str) -> go.Figure:
    figure.update_layout(title=title, template="simple_white")
    return figure
