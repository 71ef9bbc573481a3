"""Any text may be the label of a category: it is shown literally, wherever it is shown."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import markdown  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from matplotlib.text import Text

from ergokedro.analysis.checks import acceptance
from ergokedro.analysis.measurement import xe_table
from ergokedro.parameters import Parameters
from ergokedro.reporting.figures import FIGURES
from ergokedro.reporting.figures.chart import Axis, Chart, Curve, Matrix
from ergokedro.reporting.figures.component_heatmap import plot_component_heatmap
from ergokedro.reporting.figures.interactive import chart_to_plotly
from ergokedro.reporting.figures.static import SLIDE, Size, draw_chart
from ergokedro.reporting.pictures import Picture
from ergokedro.reporting.report import Report, build_report, render_html, render_markdown
from ergokedro.reporting.text import plain_text, plotly_text, shorten, visible
from synthetic_results import (
    NAMES,
    PNG,
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


def report_of(results: pd.DataFrame, labels: list[str]) -> Report:
    """The report on results whose components have these labels."""
    design, manifests = design_of(labels), make_manifests()[:1]
    return build_report(
        results,
        xe_table(results, design),
        acceptance(results, bounds={1: 0.005, 5: 0.015}),
        design,
        manifests,
        [make_summary(manifest) for manifest in manifests],
        {1: make_history(1).replace({"component": dict(zip(NAMES, labels, strict=True))})},
        Parameters(),
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
    start = head.index("excess") + 1  # after the table of every K: that of the components
    assert head[start : start + 6] == ["k", *shown]
    assert any(f"on{shown[0]},thesmallestofthem" in text for tag, text in page.found if tag == "p")
    rows = [text for tag, text in page.found if tag == "td"]
    assert rows[rows.index("components") + 1].endswith(f"({shown[0]}issmallerthan{shown[1]})")
    assert set(page.tags) == expected_tags


@quickly
@given(labels=LABELS)
def test_reports_show_any_label_literally(everything: pd.DataFrame, labels: list[str]) -> None:
    few = (everything.position == 0) | (everything.quantity == "naming_accuracy")
    report = report_of(renamed(everything[few], labels), labels)
    tags = {
        "h1", "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code",
    }  # fmt: skip
    shell = {"html", "head", "meta", "title", "style", "body", "main", "div", "span", "script"}
    shell |= {"details", "summary"}
    check_page(Page(render_html(report, {})), labels, tags | shell)
    text = render_markdown(report, {})
    text.encode("utf-8")
    tags.add("em")  # the states of checks
    check_page(Page(MarkdownIt("commonmark").enable("table").render(text)), labels, tags)
    site = markdown.markdown(text, extensions=["tables", "attr_list", "md_in_html", "toc"])
    check_page(Page(site), labels, tags)


def drawn_texts(chart: Chart, size: Size = SLIDE) -> set[str]:
    """The texts of the picture, those of several lines without their line ends."""
    found: list[Any] = draw_chart(chart, size).findobj(Text)
    drawn = [text._preprocess_math(text.get_text()) for text in found]
    assert not any(mathematics for _, mathematics in drawn)
    return {squeeze(text).removeprefix("\u200b") for text, _ in drawn}


@pytest.mark.filterwarnings("ignore:Glyph")
@settings(quickly, max_examples=6, phases=[Phase.generate])
@given(label=st.text(st.characters(exclude_categories=()), min_size=1, max_size=40))
def test_a_chart_shows_any_label_literally(label: str) -> None:
    x = np.zeros(1)
    curve = Curve(label, x, x, x - 1, x + 1, "#0072b2")
    chart = Chart(label, f"note {label}", Axis("x", "category", [label]), [curve])
    shown = squeeze(visible(label))
    assert {shown, f"note{shown}"} <= drawn_texts(chart) | {""}
    matrix = Matrix(pd.DataFrame([[1.0]], [label], [label]), np.ones((1, 1), dtype=bool))
    for figure in (chart_to_plotly(chart), chart_to_plotly(replace(chart, matrix=matrix))):
        text = json.dumps(figure.to_plotly_json(), default=str)
        assert "$" not in text
        assert not re.search(r"<(?!/?(b|br|extra)>)", text)
        assert html.unescape(figure.layout.xaxis.ticktext[0]) == shorten(label, 18)
    assert chart.data().label[0] == label


@pytest.mark.filterwarnings("ignore:Glyph")
def test_all_figures_draw_labels_literally(everything: pd.DataFrame) -> None:
    inputs = {"results": renamed(everything, NASTY), "design": design_of(NASTY)}
    shown = {squeeze(shorten(label)) for label in NASTY}
    row = {"split": "train", "documents": 1, "documents_before": 1, "tokens_before": 9}
    row["unknown_label"] = 0
    lengths = {"tokens": 9, "p05": 9, "median": 9, "p95": 9, "rank_by_tokens": 1}
    accounting = pd.DataFrame({"label": NASTY, **row, **lengths, "rank_by_documents": 1})
    inputs["token_accounting"] = accounting
    for name in (
        "component_heatmap", "others_worth", "distinguishability", "own_text", "specialists",
        "token_accounting", "document_lengths",
    ):  # fmt: skip
        spec = FIGURES[name]
        chart, _ = spec.draw(**{entry: inputs[entry] for entry in spec.inputs})
        drawn = drawn_texts(chart)
        assert shown <= drawn, name
        if name == "token_accounting":
            assert any(squeeze("$10-$20 is smaller than") in text for text in drawn)


ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><b>",
    "<!--",
    "javascript:alert(1)",
]


class Script(HTMLParser):
    """The tags, attributes and comments of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}

    def handle_comment(self, data: str) -> None:
        self.found.add("comment")


def test_labels_cannot_bring_markup_or_script_into_the_page(everything: pd.DataFrame) -> None:
    few = everything[(everything.position == 0) | (everything.quantity == "naming_accuracy")]
    pages = []
    for labels in (NAMES, ATTACKS):
        chart = plot_component_heatmap(renamed(few, labels))
        title, note = chart.title + labels[1], chart.note + labels[0]
        data = chart_to_plotly(chart).to_json()
        picture = Picture("component_heatmap", "Topic", title, note, chart.describe(), PNG, data)
        report = report_of(renamed(few, labels), labels)
        pages.append(render_html(report, {"component_heatmap": picture}))
        (data,) = re.findall('<script type="application/json">(.*?)</script>', pages[-1], re.DOTALL)
        assert json.loads(data)["layout"]["xaxis"]["ticktext"] == [
            plotly_text(shorten(n, 18)) for n in labels
        ]
    harmless, attacked = (Script(page) for page in pages)
    assert attacked.found == harmless.found
    assert pages[1].count("<script") == pages[0].count("<script")
    site = markdown.markdown(render_markdown(report, {"component_heatmap": picture}))
    assert Script(site).found <= {
        "h1",
        "h2",
        "h3",
        "p",
        "ul",
        "li",
        "em",
        "code",
        "img",
        "alt",
        "src",
    }


def test_long_labels_are_cut_in_figures_alone() -> None:
    assert shorten("x" * 40) == "x" * 40
    assert shorten("x" * 41) == "x" * 39 + "…"
    assert plain_text("x" * 99) == "x" * 99
    assert plotly_text("<b>$x$") == "&lt;b&gt;&#36;x&#36;"
