"""Figures of the results. The same K has the same colour in all of them; every axis has a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ergokedro.analysis.convergence import validation_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Title, colour (of Okabe and Ito's palette, which colour-blind readers can tell apart), marker.
SERIES = {
    "chain": ("components trained on (literal chain)", "#0072B2", "o"),
    "smallest": ("smallest component alone", "#D55E00", "s"),
    "all": ("all chosen components, seen or not", "#009E73", "^"),
}
XE_LABEL = "cross entropy, nats a token"
K_LABEL = "K, number of components in training"


def colour_of(k: int, components: int) -> Any:
    """The colour of K: viridis from dark (K = 1) to light (all components), less its pale end."""
    import matplotlib

    return matplotlib.colormaps["viridis"](0.88 * (k - 1) / max(1, components - 1))


def make_figure(
    columns: int, rows: int = 1, width: float = 11.0, height: float = 4.5
) -> tuple[Figure, np.ndarray]:
    """A figure and its axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def share_legend(figure: Figure, axes: np.ndarray, columns: int = 6) -> None:
    """One legend below all axes, off their data."""
    labels = [axis.get_legend_handles_labels() for axis in axes]
    shown = {label: handle for each in labels for handle, label in zip(*each, strict=True)}
    figure.legend(
        shown.values(), shown, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )


def pick_rows(results: pd.DataFrame, quantity: str, series: str, split: str) -> pd.DataFrame:
    """The rows of one quantity, series and split, by K and position."""
    chosen = (results.quantity == quantity) & (results.series == series) & (results.split == split)
    return results[chosen].sort_values(["k", "position"])


def n_components(results: pd.DataFrame) -> int:
    """How many components the design has, whichever K were run."""
    return int(results.component[results.series == "component"].nunique())


def plot_xe_by_k(results: pd.DataFrame, split: str = "test") -> Figure:
    """XE against K, one panel for each series, and the differences that are paired by window."""
    figure, axes = make_figure(2, rows=2, height=8)
    for axis, (series, (title, colour, marker)) in zip(axes, SERIES.items(), strict=False):
        exact = pick_rows(results, "exact_xe", series, split)
        if not exact.empty:
            axis.plot(exact.k, exact.value, "k_", markersize=14, mew=2, label="exact optimum")
        xe = pick_rows(results, "xe", series, split)
        error_bars(axis, xe, "trained model", color=colour, marker=marker)
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(XE_LABEL)
    seeds = pick_rows(results, "xe", "seeds", split)
    if not seeds.empty:
        axes[0].plot(seeds.k + 0.12, seeds.value, "x", color="0.3", label="each seed")
    _draw_paired(axes[3], results, split)
    ks = sorted(results.k.unique())
    for axis in axes:
        axis.set_xticks(ks)
        axis.set_xlim(ks[0] - 0.4, ks[-1] + 0.4)
        axis.set_xlabel(K_LABEL)
        axis.legend(frameon=False, fontsize=8)
    low, high = axes[3].get_ylim()
    axes[3].set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    axes[3].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(
        f"Cross entropy on {split} text, at equal totals of training tokens "
        "(bars: document bootstrap; each panel has its own scale)",
        fontsize=11,
    )
    return figure


def error_bars(axis: Axes, rows: pd.DataFrame, label: str, x: str = "k", **style: Any) -> None:
    """Values of `rows` with their intervals against K, or column `x`; `style` is matplotlib's."""
    errors = [rows.value - rows.low, rows.high - rows.value]
    axis.errorbar(rows[x], rows.value, errors, capsize=3, lw=1, label=label, **style)


def _draw_paired(axis: Axes, results: pd.DataFrame, split: str) -> None:
    """Differences on the same windows, whose intervals are far narrower than those of XE."""
    excess = pick_rows(results, "excess", "chain", split)
    if not excess.empty:
        _, colour, marker = SERIES["chain"]
        label = "components trained on: trained model less exact optimum"
        error_bars(axis, excess, label, color=colour, marker=marker)
    difference = pick_rows(results, "difference_to_k1", "smallest", split)
    if not difference.empty:
        _, colour, marker = SERIES["smallest"]
        error_bars(
            axis, difference, "smallest component: K less K = 1", color=colour, marker=marker
        )
    axis.axhline(0, color="0.6", lw=0.8, linestyle=":", label="no difference")
    axis.set_title("differences, paired by window", fontsize=10)
    axis.set_ylabel("difference of cross entropy, nats a token")


def plot_in_context_xe(results: pd.DataFrame, split: str = "test") -> Figure:
    """L(t) of every K in bins of t: the series chain beside the smallest component alone."""
    figure, axes = make_figure(2)
    for axis, series in zip(axes, ("chain", "smallest"), strict=True):
        curves = pick_rows(results, "binned_in_context_xe", series, split)
        exact = pick_rows(results, "exact_binned_in_context_xe", series, split)
        _draw_curves(axis, curves, exact, n_components(results))
        axis.set_xscale("log")
        ticks = [t for t in (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if t <= _last(curves)]
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        axis.set_xlabel("position t in the window, tokens (log scale)")
        axis.set_title(SERIES[series][0], fontsize=10)
        axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("L(t): " + XE_LABEL)
    figure.suptitle(
        f"Cross entropy in context on {split} text (means over bins of positions that widen; "
        "bands: document bootstrap)",
        fontsize=11,
    )
    return figure


def _last(curves: pd.DataFrame) -> int:
    return int(curves.position.max())


def _draw_curves(axis: Axes, curves: pd.DataFrame, exact: pd.DataFrame, components: int) -> None:
    for k in curves.k.unique():
        curve, colour = curves[curves.k == k], colour_of(k, components)
        axis.plot(curve.position, curve.value, color=colour, label=f"K = {k}", lw=1.4, marker=".")
        axis.fill_between(curve.position, curve.low, curve.high, color=colour, alpha=0.08, lw=0)
        best = exact[exact.k == k]
        axis.plot(best.position, best.value, color=colour, lw=1.2, linestyle="--")
    if not exact.empty:
        axis.plot([], [], color="0.3", lw=1.2, linestyle="--", label="exact optimum of K")


def plot_learning_curves(histories: dict[int, pd.DataFrame], components: list[str]) -> Figure:
    """Training loss, validation XE in two series, and the gap, against tokens.

    Parameters
    ----------
    histories : K -> history.
    components : all components of the design; K trains on the first K.
    """
    figure, axes = make_figure(2, rows=2, height=8)
    ends = []
    for k, history in histories.items():
        curves = _learning_curves(history, components[:k])
        for axis, curve, marker in zip(axes, curves, ("", ".", ".", "."), strict=True):
            colour = colour_of(k, len(components))
            axis.plot(
                curve.index / 1e6, curve, color=colour, marker=marker, lw=1.4, label=f"K = {k}"
            )
        ends.append(curves[2].iloc[-1])
    low, high = _readable_range(axes[:3])
    for axis in axes[:3]:
        axis.set_ylim(low, high)
        axis.set_ylabel(XE_LABEL)
    axes[3].set_ylim(*_readable_range(axes[3:]))
    axes[3].set_ylabel("difference of cross entropy, nats a token")
    axes[2].axhline(max(ends), color="0.4", lw=1, ls="--", label="level that every K reaches")
    axes[3].axhline(0, color="0.6", lw=0.8, ls=":", label="no difference")
    titles = (
        "training loss, running mean over 5 % of the run",
        "validation text, mean over the components trained on",
        "validation text, smallest component alone",
        "gap: validation (components trained on) less training loss",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("training tokens seen, millions")
        axis.set_xlim(left=0)
    share_legend(figure, axes)
    figure.suptitle("Learning curves (a steep start lies outside the axes)", fontsize=11)
    return figure


def _learning_curves(history: pd.DataFrame, components: list[str]) -> list[pd.Series]:
    """By tokens seen: smoothed training loss; validation XE, mean over `components` and of the
    first; and the former's gap to the training loss.
    """
    points = history[history.metric == "train_loss"].set_index("tokens").value
    loss = points.rolling(max(1, len(points) // 20)).mean()
    held_out = validation_curve(history, components)
    later = held_out[held_out.index >= loss.first_valid_index()]
    gap = later - np.interp(later.index, loss.index, loss)
    return [loss, held_out, validation_curve(history, components[:1]), gap]


def _readable_range(axes: np.ndarray) -> tuple[float, float]:
    """Of all curves after an eighth of their points, whose start would flatten all the rest."""
    curves = [np.asarray(line.get_ydata(orig=False)) for axis in axes for line in axis.lines]
    late = np.concatenate([curve[len(curve) // 8 :] for curve in curves])
    low, high = float(np.nanmin(late)), float(np.nanmax(late))
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def plot_component_heatmap(results: pd.DataFrame, split: str = "test") -> Figure:
    """XE of every K on every component; components that K was not trained on are hatched."""
    from matplotlib.patches import Rectangle

    table = pick_rows(results, "xe", "component", split)
    components = list(dict.fromkeys(table.component))
    values = table.pivot(index="k", columns="component", values="value")[components]
    trained = table.pivot(index="k", columns="component", values="trained")[components]
    figure, axes = make_figure(1, width=3 + 1.3 * len(components), height=1.8 + 0.6 * len(values))
    draw_heatmap(figure, axes[0], values, XE_LABEL, bold=trained)
    for row, column in np.argwhere(~trained.to_numpy(dtype=bool)):
        corner = (column - 0.5, row - 0.5)
        hatch = Rectangle(corner, 1, 1, fill=False, hatch="///", ec="0.65", lw=0)
        axes[0].add_patch(hatch)
    axes[0].set_xticks(range(len(components)), components)
    axes[0].set_yticks(range(len(values)), [f"K = {k}" for k in values.index])
    axes[0].set_xlabel("component that is predicted")
    axes[0].set_ylabel("components in training")
    axes[0].set_title(f"{split} text; bold: trained on, hatched: not trained on", fontsize=10)
    return figure


def draw_heatmap(
    figure: Figure, axis: Axes, values: pd.DataFrame, label: str, bold: pd.DataFrame
) -> None:
    """Values as colours and as numbers, those of `bold` in bold; darker is more."""
    image = axis.imshow(values, cmap="cividis_r", aspect="auto")
    middle = (values.to_numpy().min() + values.to_numpy().max()) / 2
    for row, column in np.ndindex(values.shape):
        value = values.iloc[row, column]
        axis.text(
            column,
            row,
            f"{value:.3f}",
            ha="center",
            va="center",
            color="white" if value > middle else "black",
            weight="bold" if bold.iloc[row, column] else "normal",
        )
    figure.colorbar(image, label=label)
