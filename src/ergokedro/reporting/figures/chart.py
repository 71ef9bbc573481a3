"""A figure as data: what static.py draws as a picture and interactive.py as an interactive figure.

Texts of a chart may hold any character, such as the labels of categories; each form shows them
literally.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from ergokedro.reporting.figures.style import category_colour, category_marker
from ergokedro.reporting.text import shorten

_MARGIN = 0.06  # of the vertical range, above and below
_LONGEST = 60  # characters of a label
_FEW = 12  # values that a description still lists


@dataclass(frozen=True)
class Curve:
    """Values against x, with their intervals.

    Attributes
    ----------
    label : written at its last point; '' for none.
    x, value, low, high : float64 (n,); low and high are NaN where there is no interval.
    colour : as #rrggbb.
    marker : of matplotlib; '' for none.
    line : 'solid', 'dashed', 'dotted', or 'none' for points that no line joins.
    band : intervals are a band, not bars.
    """

    label: str
    x: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    colour: str
    marker: str = ""
    line: Literal["solid", "dashed", "dotted", "none"] = "solid"
    band: bool = False

    @classmethod
    def of(
        cls, rows: pd.DataFrame, label: str, colour: str, x: str = "k", **style: str | bool
    ) -> Curve:
        """Rows of the results against their column `x`."""
        at, value, low, high = (
            rows[name].to_numpy(dtype=np.float64) for name in (x, "value", "low", "high")
        )
        return cls(label, at, value, low, high, colour, **style)  # type: ignore[arg-type]

    @property
    def end(self) -> float:
        """The value at which its label is written."""
        return float(self.value[-1])

    @property
    def extremes(self) -> list[float]:
        """All values that must be in view."""
        return [*self.value, *self.low, *self.high]


@dataclass(frozen=True)
class Bars:
    """Bars at x, each on those of the same sign before it.

    Attributes
    ----------
    label : written beside the last bar.
    x, value, base : float64 (n,); a bar reaches from base to base + value.
    """

    label: str
    x: np.ndarray
    value: np.ndarray
    base: np.ndarray
    colour: str

    @property
    def end(self) -> float:
        """The value at which its label is written."""
        return float(self.base[-1] + self.value[-1] / 2)

    @property
    def extremes(self) -> list[float]:
        """All values that must be in view."""
        return [*self.base, *(self.base + self.value)]


@dataclass(frozen=True)
class Level:
    """A horizontal line, such as no difference; '' for no label."""

    value: float
    label: str = ""


@dataclass(frozen=True)
class Matrix:
    """Values by row and column, as colours and as numbers; darker is more, '?' is NaN.

    Attributes
    ----------
    strong, hatched : bool of the same shape: numbers in bold, and hatched cells.
    spec : format of the numbers.
    """

    values: pd.DataFrame
    strong: np.ndarray
    hatched: np.ndarray | None = None
    spec: str = ".3f"


@dataclass(frozen=True)
class Axis:
    """The horizontal axis.

    Attributes
    ----------
    kind : 'whole' for numbers such as K, 'log', 'linear', or 'category', whose x is 0, 1, ...
    names : of the categories.
    """

    label: str
    kind: Literal["whole", "log", "linear", "category"] = "linear"
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """One figure with one idea.

    Attributes
    ----------
    title : the finding, from the numbers.
    note : below it: what is shown, its unit, and what the bars are.
    parts : what is drawn, or nothing where a matrix is.
    matrix : a heatmap in place of parts; `rows` and `x` name its axes.
    zero : the vertical range includes zero.
    """

    title: str
    note: str
    x: Axis
    parts: Sequence[Curve | Bars] = ()
    levels: Sequence[Level] = ()
    matrix: Matrix | None = None
    rows: str = ""
    zero: bool = False

    @cached_property
    def span(self) -> tuple[float, float]:
        """The vertical range."""
        values = [v for part in self.parts for v in part.extremes]
        values += [level.value for level in self.levels] + ([0.0] if self.zero else [])
        finite = np.array(values)[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        margin = _MARGIN * (high - low) or 0.5
        return float(low - margin), float(high + margin)

    @property
    def label_texts(self) -> list[str]:
        """The texts of :meth:`labels`."""
        return [text for text, _, _ in self.labels(0)]

    def labels(self, gap: float) -> list[tuple[str, float, str | None]]:
        """Text, vertical position and colour of the labels at the right end.

        Parameters
        ----------
        gap : least distance of two labels, as a share of the vertical range.
        """
        named: list[tuple[str, float, str | None]]
        named = [(p.label, p.end, p.colour) for p in self.parts if p.label and len(p.x)]
        named += [(level.label, level.value, None) for level in self.levels if level.label]
        low, high = self.span
        ends = spread([end for _, end, _ in named], gap * (high - low), (low, high))
        return [
            (shorten(text, _LONGEST), end, colour)
            for (text, _, colour), end in zip(named, ends, strict=True)
        ]

    def data(self) -> pd.DataFrame:
        """All numbers: one row per point, or per cell of a matrix."""
        if self.matrix is not None:
            cells = self.matrix.values.rename_axis(index="row", columns="column")
            return cells.stack(future_stack=True).rename("value").reset_index()
        rows = [row for part in self.parts for row in self._points(part)]
        rows += [(level.label or "level", "", level.value, np.nan, np.nan) for level in self.levels]
        return pd.DataFrame(rows, columns=["label", "x", "value", "low", "high"])

    def _points(self, part: Curve | Bars) -> Iterator[tuple[str, object, float, float, float]]:
        nothing = np.full(len(part.x), np.nan)
        low, high = (part.low, part.high) if isinstance(part, Curve) else (nothing, nothing)
        for x, value, *ends in zip(part.x, part.value, low, high, strict=True):
            yield part.label, self.name_of(x), float(value), float(ends[0]), float(ends[1])

    def name_of(self, x: float) -> object:
        """A value of the horizontal axis as it is written."""
        if self.x.kind == "category":
            return self.x.names[int(x)]
        return int(x) if float(x).is_integer() else float(x)

    def describe(self) -> str:
        """What the figure shows, for those who do not see it."""
        parts = [self.title, self.note, "; ".join(self._values())]
        return " ".join(part.rstrip(".") + "." for part in parts if part)

    def _values(self) -> Iterator[str]:
        if self.matrix is not None:
            cells = self.data().dropna()
            cells = cells.sort_values("value")
            for word, cell in (("least", cells.head(1)), ("most", cells.tail(1))):
                for row in cell.itertuples():
                    yield f"{word}: {row.value:{self.matrix.spec}} in {row.row}, {row.column}"
            return
        for part in self.parts:
            points = list(self._points(part))
            shown = points if len(points) <= _FEW else [points[0], points[-1]]
            values = ", ".join(f"{value:.4g} at {x}" for _, x, value, _, _ in shown)
            yield ": ".join(filter(None, [shorten(part.label, _LONGEST), values]))


def spread(positions: Sequence[float], gap: float, span: tuple[float, float]) -> list[float]:
    """Positions moved apart so that neighbours are at least `gap` apart, within `span` if it fits.

    Groups that overlap are centred on the mean of what their members ask for.
    """
    order = np.argsort(positions, kind="stable")
    groups: list[list[float]] = []  # wanted positions
    for position in np.asarray(positions, dtype=np.float64)[order]:
        groups.append([position])
        while len(groups) > 1 and _overlap(groups[-2], groups[-1], gap, span):
            groups[-2:] = [groups[-2] + groups[-1]]
    placed = np.empty(len(order))
    for group, start in zip(groups, np.cumsum([0, *map(len, groups)]), strict=False):
        bottom = _bottom(group, gap, span)
        placed[order[start : start + len(group)]] = bottom + gap * np.arange(len(group))
    return placed.tolist()


def _bottom(group: list[float], gap: float, span: tuple[float, float]) -> float:
    """The lowest position of a group."""
    height = gap * (len(group) - 1)
    return max(span[0], min(span[1] - height, float(np.mean(group)) - height / 2))


def _overlap(lower: list[float], upper: list[float], gap: float, span: tuple[float, float]) -> bool:
    """Whether two groups are less than `gap` apart."""
    return _bottom(upper, gap, span) < _bottom(lower, gap, span) + gap * len(lower)


def only_one_component(x: Axis) -> Chart:
    """A chart without data, where K = 1 alone was run and what it shows is about larger K."""
    return Chart("K = 1 alone was run", "This is about larger K.", x, levels=[Level(0)])


def stack(x: np.ndarray, values: Iterable[tuple[str, np.ndarray, str]]) -> list[Bars]:
    """Bars of (label, value, colour), upwards where they are positive and downwards elsewhere."""
    above, below = np.zeros(len(x)), np.zeros(len(x))
    bars = []
    for label, value, colour in values:
        bars.append(Bars(label, x, value, np.where(value >= 0, above, below), colour))
        above, below = above + value.clip(min=0), below + value.clip(max=0)
    return bars


def component_curves(rows: pd.DataFrame, components: Sequence[str]) -> list[Curve]:
    """The rows of every component that has some, in its colour, against K.

    Parameters
    ----------
    rows : of the results, of one quantity.
    components : all of the design, in its order, which decides the colours.
    """
    return [
        Curve.of(own, name, category_colour(index), marker=category_marker(index))
        for index, name in enumerate(components)
        if len(own := rows[rows.component == name])
    ]
