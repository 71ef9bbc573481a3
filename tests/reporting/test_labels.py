"""Any text may be the label of a category: it is shown literally, wherever it is shown."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import markdown  # type: ignore[import-untyped]
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from matplotlib.text import Text

from ergokedro.analysis.checks import acceptance
from ergokedro.analysis.measurement import xe_table
from ergokedro.parameters import Parameters
from ergokedro.reporting.figures import FIGURES
from ergokedro.reporting.figures.axes import error_bars, label_components, make_figure
from ergokedro.reporting.figures.component_heatmap import plotly_component_heatmap
from ergokedro.reporting.report import build_report, render_html, render_markdown
from ergokedro.reporting.text import plain_text, plotly_text, shorten, visible
from synthetic_results import (
    NAMES,
    make_all_results,
    make_design,
    make_history,
    make_manifests,
    make_summary,
)


def squeeze(text: str) -> str:
    """Without white space, of which pages keep no more than that there is some."""
    return "".join(text.split())


# Mathematics, markup of all kinds, scripts, control codes, and the report's own words.
NASTY = [
    "$10-$20",
    "_x^2 \\frac{1}{ \\$",
    "<b>b</b>|`*_a_*`[l](u) {: #i}",
    "中文 ☃ &amp; 🎉",
    "k\n\x00",
]
WORDS = ["k", "all", "component", "(unknown)", "nan"]
LABELS = st.lists(
    st.text(min_size=1, max_size=12)  # no lone surrogates: pandas refuses them
    | st.text("$_^\\<>&|*`~[](){}#!:; \n\t", min_size=1, max_size=8)
    | st.sampled_from(WORDS),
    min_size=5,
    max_size=5,
    unique_by=lambda label: squeeze(visible(label)),
)
quickly = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def everything() -> pd.DataFrame:
    return make_all_results()


def renamed(results: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    names = dict(zip(NAMES, labels, strict=True))
    return results.assign(component=results.component.map(lambda name: names.get(name, name)))


def design_of(labels: list[str]) -> Any:
    return make_design().model_copy(
        update={"components": labels, "reason": f"{labels[0]} is smaller than {labels[1]}"}
    )


class Page(HTMLParser):
    """The texts of a page by the tag that they are directly in."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self._open: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("th", "td", "li", "p", "h2"):
            self._open.append((tag, ""))

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, text = self._open[-1]
            self._open[-1] = (tag, text + data)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1][0] == tag:
            name, text = self._open.pop()
            self.found.append((name, squeeze(text)))


def check_page(page: Page, labels: list[str], expected_tags: set[str]) -> None:
    """Labels are found as they are, and nothing in them has become a tag."""
    shown = [squeeze(visible(label)) for label in labels]
    head = [text for tag, text in page.found if tag == "th"]
    start = head.index("excess") + 1  # after the headline's table: that of the components
    assert head[start : start + 6] == ["k", *shown]
    sentences = [text for tag, text in page.found if tag == "li"]
    assert f"onthesmallestcomponent({shown[0]})is" in sentences[0]
    rows = [text for tag, text in page.found if tag == "td"]
    assert rows[rows.index("components") + 1].endswith(f"({shown[0]}issmallerthan{shown[1]})")
    assert set(page.tags) == expected_tags


@quickly
@given(labels=LABELS)
def test_reports_show_any_label_literally(everything: pd.DataFrame, labels: list[str]) -> None:
    few = (everything.position == 0) | (everything.quantity == "naming_accuracy")
    results, design = renamed(everything[few], labels), design_of(labels)
    manifests = make_manifests()[:1]
    report = build_report(
        results,
        xe_table(results, design),
        acceptance(results, bounds={1: 0.005, 5: 0.015}),
        design,
        manifests,
        [make_summary(manifest) for manifest in manifests],
        Parameters(),
    )
    tags = {"h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code"}
    shell = {"html", "head", "meta", "title", "style", "body", "div"}
    check_page(Page(render_html(report, [])), labels, tags | shell)
    text = render_markdown(report, [])
    text.encode("utf-8")
    check_page(Page(MarkdownIt("commonmark").enable("table").render(text)), labels, tags)
    site = markdown.markdown(text, extensions=["tables", "attr_list", "md_in_html", "toc"])
    check_page(Page(site), labels, tags)


def texts(figure: Any) -> list[str]:
    """All texts of a matplotlib figure as they are drawn; none of them is mathematics."""
    figure.draw_without_rendering()
    drawn = [text._preprocess_math(text.get_text()) for text in figure.findobj(Text)]
    assert not [text for text, mathematics in drawn if mathematics]
    return [text.removeprefix("\u200b") for text, _ in drawn]


@pytest.mark.filterwarnings("ignore:Glyph")
@quickly
@given(label=st.text(st.characters(exclude_categories=()), min_size=1, max_size=60))
def test_matplotlib_draws_any_label_literally(label: str) -> None:
    figure, (axis,) = make_figure(1, width=6, height=3)
    rows = pd.DataFrame({"k": [1], "value": [0.0], "low": [0.0], "high": [0.0]})
    error_bars(axis, rows, plain_text(label))
    label_components(axis.yaxis, [label])
    axis.legend()
    drawn = texts(figure)
    assert visible(label) in drawn  # in the legend
    assert shorten(label) in drawn  # at the axis


@pytest.mark.filterwarnings("ignore:Glyph")
def test_all_figures_draw_labels_literally(everything: pd.DataFrame) -> None:
    inputs = {"results": renamed(everything, NASTY), "design": design_of(NASTY)}
    histories = {f"histories:{k}": make_history(k) for k in (1, 5)}
    shown = {shorten(label) for label in NASTY}
    for name in ("component_heatmap", "decomposition", "specialists", "distinguishability"):
        static, *_ = FIGURES[name].draw(**inputs, **histories)
        assert shown <= set(texts(static)), name
    row = {"split": "train", "documents": 1, "documents_before": 1, "tokens_before": 9}
    lengths = {"tokens": 9, "p05": 9, "median": 9, "p95": 9, "rank_by_tokens": 1}
    accounting = pd.DataFrame({"label": NASTY, **row, **lengths, "rank_by_documents": 1})
    (figure,) = FIGURES["token_accounting"].draw(token_accounting=accounting, **inputs)
    drawn = texts(figure)
    assert shown <= set(drawn)
    assert any("$10-$20 is smaller than" in text for text in drawn)


def test_plotly_shows_labels_literally(everything: pd.DataFrame) -> None:
    figure = plotly_component_heatmap(renamed(everything, NASTY))
    (heatmap,) = figure.data
    assert "<" not in "".join(heatmap.x)
    assert "$" not in "".join(heatmap.x)
    assert figure.layout.xaxis.type == "category"
    assert "&amp;amp;" in heatmap.x[3]
    assert figure.to_json()


def test_long_labels_are_cut_in_figures_alone() -> None:
    assert shorten("x" * 40) == "x" * 40
    assert shorten("x" * 41) == "x" * 39 + "…"
    assert plain_text("x" * 99) == "x" * 99
    assert plotly_text("<b>$x$") == "&lt;b&gt;&#36;x&#36;"
