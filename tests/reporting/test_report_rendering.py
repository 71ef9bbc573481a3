"""The report as HTML and Markdown: one file, complete, escaped, the answer first."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from ergokedro.analysis.controls import CONTROLS
from ergokedro.reporting.checks import late_fall
from ergokedro.reporting.pictures import Picture, plotly_library
from ergokedro.reporting.report import (
    render_html,
    render_markdown,
)
from ergokedro.reporting.results import Estimate
from ergokedro.reporting.tables import is_determined
from how_to import run_page
from made_reports import changed_headline, make_report, sentences, state_of
from synthetic_results import (
    NAMES,
    PNG,
    make_all_results,
    make_design,
    make_history,
    make_manifests,
    make_results,
)

PICTURES = {
    "effect_of_k": Picture("effect_of_k", "Effect", "K costs", "in nats", "K costs. 1: 0", PNG, "")
}


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_results()


@pytest.fixture(scope="module")
def everything() -> pd.DataFrame:
    return make_all_results()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [v or "" for k, v in attrs if k in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_is_self_contained_and_complete(results: pd.DataFrame) -> None:
    report = make_report(results)
    html = render_html(report, PICTURES)
    page = _Page()
    page.feed(html)
    text = "".join("".join(page.text).split())
    (source,) = page.sources
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert page.tags.count("table") == 1 + sum(
        "\n| --- " in part for part in render_markdown(report, {}).split("\n#")[2:]
    )
    assert "link" not in page.tags
    for sentence in sentences(results):
        shown = sentence.replace("`", "").replace("*", "").split(": ", sentence.startswith("*"))
        assert "".join(shown[-1].split()) in text
    for expected in ("passed", "300,000", "training.learning_rate", make_design().store):
        assert expected in text
    assert "FAILED" not in text
    assert make_manifests()[2].fingerprint in text
    assert "plotly" not in html.lower()  # no figure needs it


def test_the_library_of_interactive_figures_is_there_once(results: pd.DataFrame) -> None:
    text = '{"data": [], "layout": {"meta": {"dark": {}}, "title": {"text": "</script><b>"}}}'
    chart = replace(PICTURES["effect_of_k"], chart=text)
    html = render_html(make_report(results), {"effect_of_k": chart, "other": chart})
    assert html.count(plotly_library()) == 1
    assert len(html) < 3_000_000
    _, _, rest = html.partition('<script type="application/json">')
    assert json.loads(rest.partition("</script>")[0]) == json.loads(text)
    assert gzip.decompress(base64.b64decode(plotly_library())).decode() == get_plotlyjs()


def test_text_from_outside_is_escaped(results: pd.DataFrame) -> None:
    report = make_report(results.replace({"component": {"source-2": "<b>a|b</b>"}}))
    assert "<b>" not in render_html(report, {})
    line = next(s for s in render_markdown(report, {}).splitlines() if "a\\|b" in s)
    assert line.count(" | ") == 5


def test_markdown_has_the_same_content(results: pd.DataFrame) -> None:
    report = make_report(results)
    text = render_markdown(report, PICTURES)
    assert "\n\n![K costs. 1: 0](effect_of_k.png)\n\n" in text
    assert "\n\n\n" not in text
    page = _Page()
    page.feed(render_html(report, PICTURES))
    assert page.tags.count("h2") == text.count("\n## ")
    assert page.tags.count("h3") == text.count("\n### ")
    assert page.tags.count("li") == text.count("\n- ")
    assert page.tags.count("tr") == text.count("\n| ") - text.count("\n| --- ")


def test_the_model_is_named_with_its_architecture(results: pd.DataFrame) -> None:
    report = make_report(results)
    model = report.parameters.model.model_copy(update={"architecture": "llama"})
    changed = replace(report, parameters=report.parameters.model_copy(update={"model": model}))
    assert "| llama, micro, " in render_markdown(changed, {})


def test_the_answer_comes_first_and_the_rest_is_closed(everything: pd.DataFrame) -> None:
    text = render_markdown(make_report(everything), {})
    order = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert order[:3] == ["How sure?", "Where it comes from", "What follows for your mixture"]
    page = _Page()
    page.feed(render_html(make_report(everything), {}))
    assert page.tags.count("details") == len(order) - 3
    assert page.tags.index("table") < page.tags.index("h2") < page.tags.index("details")


def test_failed_checks_are_shown_and_absent_ones_left_out(results: pd.DataFrame) -> None:
    worse = results.assign(
        value=results.value.where(results.quantity != "excess", results.value + 0.1)
    )
    assert "FAILED" in render_markdown(make_report(worse), {})
    assert "Acceptance" not in render_markdown(make_report(make_results(known=False)), {})


def test_settings_in_sentences_are_code(results: pd.DataFrame) -> None:
    page = render_html(make_report(results), {})
    assert "<code>controls.specialists=true</code>" in page
    assert "`controls.specialists=true`" in render_markdown(make_report(results), {})


def test_models_that_learnt_nothing_are_told(results: pd.DataFrame) -> None:
    assert state_of(results, "Trained to the end") == "passed"
    worse = results.copy()
    worse.loc[worse.quantity == "excess", "value"] += 1
    assert (
        state_of(worse, "1.01 nats above the optimum these models are hardly trained") == "warning"
    )


def test_a_curve_that_still_falls_is_told() -> None:
    history = make_history(1)
    assert late_fall(history, NAMES[0]) == pytest.approx(0, abs=0.01)
    start = history[history.tokens <= history.tokens.max() / 2]
    assert late_fall(start, NAMES[0]) > 0.001
    # The last point at or before three quarters of the tokens, less the end.
    points = start[(start.metric == "validation_xe") & (start.component == NAMES[0])]
    values = points.set_index("tokens").value
    expected = values[values.index <= 0.75 * values.index[-1]].iloc[-1] - values.iloc[-1]
    assert late_fall(start, NAMES[0]) == expected


def test_averages_tell_whether_a_run_that_has_them_still_falls() -> None:
    """Not the weights, which hardly get better at a constant rate."""
    history = make_history(1)
    averages = pd.DataFrame({"tokens": [1e5, 2e5, 3e5, 4e5], "value": [3.0, 2.9, 2.8, 2.75]})
    both = pd.concat([history, averages.assign(metric="averaged_xe", component="")])
    assert late_fall(both, NAMES[0]) == pytest.approx(2.8 - 2.75)


def test_a_late_fall_is_compared_with_the_effect(results: pd.DataFrame) -> None:
    small = changed_headline(results, 1e-6, 1e-7, "higher")
    assert state_of(small, "while K changes it by 0.000") == "warning"
    assert state_of(changed_headline(results, 1e-6, 1, "not determined"), "Trained") == "passed"


def test_few_documents_and_text_learnt_by_heart_are_told(everything: pd.DataFrame) -> None:
    assert state_of(everything, "Only 12 test documents of source-1") == "warning"
    assert state_of(everything, "Nothing was learnt by heart") == "passed"
    worse = everything.copy()
    worse.loc[worse.quantity == "train_gap", "value"] = 0.7
    assert state_of(worse, "held-out text is predicted worse by 0.700 nats") == "warning"


@pytest.mark.parametrize(
    ("a", "b", "known"),
    [
        ((1.0, 0.9, 1.1), (2.0, 1.9, 2.1), True),
        ((1.0, -0.1, 1.1), (2.0, 1.9, 2.1), False),  # a floor below zero nats
        ((1.0, 0.9, 1.1), (2.0, 2.1, 2.2), False),  # outside its own interval
        ((1.0, float("nan"), float("nan")), (2.0, 1.9, 2.1), False),
    ],
)
def test_fits_that_are_not_determined(
    a: tuple[float, float, float], b: tuple[float, float, float], known: bool
) -> None:
    floor, other = (Estimate(value, low, high) for value, low, high in (a, b))
    assert is_determined(floor, other) == known


def test_a_control_from_outside_has_its_sentence(
    results: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CONTROLS, "_entries", dict(CONTROLS))
    run_page("extend-control.md")
    assert not [s for s in sentences(results) if s.startswith("With ")]
    row = results[results.split == "test"].iloc[0].to_dict()
    row |= {"series": "longer", "quantity": "xe", "k": 5, "value": 2.5, "low": 2.4, "high": 2.6}
    with_control = pd.concat([results, pd.DataFrame([row])])
    (sentence,) = [s for s in sentences(with_control) if s.startswith("With ")]
    assert sentence == (
        "With 1 times the epochs the cross entropy of K = 5 on the components trained on is "
        "2.5000 [2.4000, 2.6000] nats per token."
    )
