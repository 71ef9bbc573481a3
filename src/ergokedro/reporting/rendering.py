"""Templates to text: how numbers are written, and how text is escaped in Markdown and in HTML.

All that a template prints is escaped, except for its own literal text and for numbers.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup, escape

from ergokedro.reporting.pictures import plotly_library, shrink
from ergokedro.reporting.results import Estimate
from ergokedro.reporting.tables import Cell
from ergokedro.reporting.text import escape_markdown, one_line, visible
from ergokedro.reporting.transfer import Worth

if TYPE_CHECKING:
    from jinja2 import Environment


def render_markdown(template: str, **content: Any) -> str:
    """Render a template in which text is escaped as Markdown."""
    return re.sub(r"\n{3,}", "\n\n", _render(_markdown(), template, content))


def render_plain(template: str, **content: Any) -> str:
    """Render a template to text for a terminal, where nothing is markup."""
    return _render(_plain(), template, content)


def render_html(template: str, **content: Any) -> str:
    """Render a template in which text is escaped as HTML."""
    return _render(_html(), template, content)


def _render(environment: Environment, template: str, content: dict[str, Any]) -> str:
    return environment.get_template(template).render(content).strip() + "\n"


@cache
def _markdown() -> Environment:
    # Numbers hold nothing that Markdown reads as markup: brackets would need a link behind them.
    return _environment(lambda text: Markup(escape_markdown(text)), Markup, "`{}`")


@cache
def _plain() -> Environment:
    return _environment(lambda text: Markup(visible(text)), Markup, "{}")


@cache
def _html() -> Environment:
    return _environment(lambda text: escape(visible(text)), escape, "<code>{}</code>")


def _environment(
    escape_text: Callable[[str], Markup], escape_number: Callable[[str], Markup], code: str
) -> Environment:
    """An environment whose every expression is escaped by `escape_text`.

    Jinja's own escaping is for HTML; it leaves alone what `finalize` returns as `Markup`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    def finalize(value: Any) -> Any:
        return value if hasattr(value, "__html__") else escape_text(str(value))

    def formatted(write: Callable[..., str]) -> Callable[..., Markup]:
        return lambda *arguments, **options: escape_number(write(*arguments, **options))

    environment = Environment(
        loader=PackageLoader("ergokedro"),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = (number, counted, interval, ends, p_value, component_cell, worth, fit_error)
    environment.filters |= {write.__name__: formatted(write) for write in numbers}

    def sentences(template: str, **names: Any) -> list[Markup]:
        """The lines of a template from elsewhere, such as a control's."""
        lines = environment.from_string(template).render(names).splitlines()
        return [Markup(line) for line in lines if line.strip()]

    environment.filters["sentences"] = sentences
    environment.filters["code"] = lambda text: Markup(code).format(text)
    environment.filters["literal"] = lambda text: Markup(visible(text))
    environment.filters["one_line"] = lambda text: Markup(one_line(str(text)))
    environment.filters["small_base64"] = lambda png: base64.b64encode(shrink(png)).decode()
    environment.filters["script_json"] = script_json
    environment.globals["plotly_library"] = plotly_library
    return environment


def script_json(text: str) -> Markup:
    """JSON that an HTML page may hold in a `<script>`: nothing in it can end the element."""
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def number(value: float | None, spec: str) -> str:
    """A number in a format such as '.4f'; nothing for None."""
    return "" if value is None or pd.isna(value) else format(value, spec)


def counted(n: int, noun: str) -> str:
    """A number of things: '1 token', '1,200 tokens'."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def interval(estimate: Any, spec: str, missing: str = "") -> str:
    """A value with its interval, of an estimate or a row of the results; `missing` for None."""
    if estimate is None:
        return missing
    if pd.isna(estimate.low):
        return f"{estimate.value:{spec}} [no interval: a component has one document]"
    return f"{estimate.value:{spec}} [{estimate.low:{spec}}, {estimate.high:{spec}}]"


def ends(estimate: Estimate, spec: str) -> str:
    """The ends of an interval: '-0.01 to +0.02'."""
    if pd.isna(estimate.low):
        return "none: a component has one document"
    return f"{estimate.low:{spec}} to {estimate.high:{spec}}"


def p_value(p: float | None) -> str:
    """A p-value; no digits are worth printing below 0.0001."""
    if p is None:
        return ""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def component_cell(cell: Cell) -> str:
    """XE with its interval, in parentheses where the model was not trained on the component."""
    text = interval(cell.estimate, ".4f")
    return text if cell.trained else f"({text})"


def worth(number: Worth | None, spec: str, missing: str = "") -> str:
    """A value with its interval, a bound, or why it is not determined; `missing` for None."""
    if number is None:
        return missing
    if not number.determined:
        return "not determined" + ("" if number.note == "?" else f": {number.note}")
    value = f"{number.estimate.value:{spec}}"
    if number.note:
        return f"{'more' if number.note == '>' else 'less'} than {value}"
    low, high = number.estimate.low, number.estimate.high
    if pd.isna(low):
        return f"{value} [no interval]"
    return f"{value} [{low:{spec}}, {'no upper limit' if math.isinf(high) else f'{high:{spec}}'}]"


def fit_error(error: Estimate, spec: str) -> str:
    """A mean error with its interval; 'not determined' where nothing was predicted."""
    if pd.isna(error.value):
        return "not determined"
    value = f"{error.value:{spec}}"
    return value if pd.isna(error.low) else f"{value} [{error.low:{spec}}, {error.high:{spec}}]"
