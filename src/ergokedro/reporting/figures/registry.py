"""The registry of figures. A figure is one object; its node, files and section come from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from ergokedro.errors import ErgokedroError
from ergokedro.registry import Registry
from ergokedro.reporting.figures.fonts import fit_fonts
from ergokedro.reporting.figures.interactive import chart_to_plotly
from ergokedro.reporting.figures.static import draw_chart


@dataclass(frozen=True)
class FigureSpec:
    """One figure of the report.

    Attributes
    ----------
    title : what it is about, for the report's list of figures.
    plot : takes the inputs in their order and returns a :class:`Chart`.
    interactive : `plot` returns a Chart; where it is false, a matplotlib figure, which has neither
        an interactive form nor data beside it.
    inputs : names of catalog entries, such as 'results' and 'design'; 'histories' stands for the
        training histories of the chain, a dictionary by K.
    requires : names of controls. The figure is made where runs of one of them are planned; None
        where it needs the runs of the chain alone.
    pipeline : the pipeline that draws it. The report shows the figures of 'analysis'.
    how_to_read : what a reader should look at first, and what would mislead, in Markdown; for the
        figure's page of the documentation.
    """

    title: str
    plot: Callable[..., Any]
    interactive: bool = True
    inputs: tuple[str, ...] = ("results",)
    requires: Container[str] | None = None
    pipeline: str = "analysis"
    how_to_read: str = ""

    def outputs(self, name: str) -> list[str]:
        """The catalog entries of what :meth:`draw` returns, if the figure has this name."""
        return [f"{name}.figure", *([f"{name}.plotly"] if self.interactive else [])]

    def static(self, *inputs: Any) -> Any:
        """The matplotlib figure, with fonts that have the characters of its labels."""
        figure = self.plot(*inputs)
        if self.interactive:
            return draw_chart(figure)
        fit_fonts(figure)
        return figure

    def draw(self, **inputs: Any) -> list[Any]:
        """What is saved: the chart and its interactive form, or the matplotlib figure.

        Parameters
        ----------
        inputs : by name; in place of 'histories', one history per K as 'histories:1' and so on.
        """
        values = [_by_k(inputs) if name == "histories" else inputs[name] for name in self.inputs]
        if not self.interactive:
            return [self.static(*values)]
        chart = self.plot(*values)
        return [chart, chart_to_plotly(chart)]


def _by_k(inputs: dict[str, Any]) -> dict[int, Any]:
    prefix = "histories:"
    return {int(k.removeprefix(prefix)): v for k, v in inputs.items() if k.startswith(prefix)}


class FigureRegistry(Registry[FigureSpec]):
    """Figures by name, in the order of the report."""

    def register(self, name: str, entry: FigureSpec) -> FigureSpec:
        """Add a figure under `name`, which names its files and catalog entries, too.

        Raises
        ------
        ErgokedroError
            If another figure has this name, or it does not fit into a file name.
        """
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            raise ErgokedroError(
                f"figures: {name!r} names files and catalog entries. Use letters, digits and '_'."
            )
        return super().register(name, entry)

    def planned(self, pipeline: str, controls: Iterable[str] = ()) -> dict[str, FigureSpec]:
        """The figures of a pipeline for which runs of `controls` are planned beside the chain."""
        controls = set(controls)
        return {
            name: figure
            for name, figure in self.items()
            if figure.pipeline == pipeline
            and (figure.requires is None or any(c in figure.requires for c in controls))
        }


FIGURES = FigureRegistry("figures")
