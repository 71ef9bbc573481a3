"""The report says what the numbers say, and needs no other file."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

import pandas as pd
import pytest

from ergokedro.analysis.checks import acceptance
from ergokedro.analysis.controls import CONTROLS
from ergokedro.analysis.measurement import xe_table
from ergokedro.parameters import Parameters
from ergokedro.reporting.report import (
    Picture,
    Report,
    build_report,
    format_table,
    render_html,
    render_markdown,
)
from ergokedro.reporting.results import Estimate
from ergokedro.reporting.tables import is_determined
from how_to import run_page
from synthetic_results import (
    NAMES,
    make_all_results,
    make_design,
    make_manifests,
    make_results,
    make_summary,
)

PICTURE = Picture("Cross entropy against K", "xe_by_k.png", b"\x89PNG\r\n\x1a\n picture")


def make_report(results: pd.DataFrame) -> Report:
    manifests = make_manifests()
    return build_report(
        results,
        xe_table(results, make_design()),
        acceptance(results, bounds={1: 0.005, 5: 0.015}),
        make_design(),
        manifests,
        [make_summary(manifest) for manifest in manifests],
        Parameters(),
    )


def sentences(results: pd.DataFrame) -> list[str]:
    """The sentences of the report in Markdown."""
    lines = render_markdown(make_report(results), []).splitlines()
    return [line.removeprefix("- ") for line in lines if line.startswith("- ")]


def table(report: Report, title: str) -> list[list[str]]:
    """The cells of a table of the report in Markdown, without its heading."""
    _, section = render_markdown(report, []).split(f"## {title}\n")
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]
    return [line[2:-2].split(" | ") for line in lines[2:]]


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_results()


def test_terminal_table(results: pd.DataFrame) -> None:
    text = format_table(xe_table(results, make_design()))
    title, header, *lines = text.strip().splitlines()
    assert "nats" in title
    assert header.split() == [
        "k", "xe", "low", "high", "smallest", "optimum", "excess", "components",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines] == list("12345")
    assert "optimum" not in format_table(xe_table(make_results(known=False), make_design()))


def test_components_are_shown_in_nats_per_token_and_in_bits_per_byte(
    results: pd.DataFrame,
) -> None:
    report = make_report(results)
    nats = table(report, "Cross entropy by component")
    bits = table(report, "Bits per byte by component")
    assert [row[0] for row in bits] == [row[0] for row in nats] == list("12345")
    here = results[(results.split == "test") & (results.quantity == "bits_per_byte")]
    expected = here[(here.k == 2) & (here.component == NAMES[0])].value.item()
    assert bits[1][1].startswith(f"{expected:.4f} [")
    assert bits[0][2].startswith("(")  # not trained on


def test_insights_follow_the_numbers(results: pd.DataFrame) -> None:
    row = (results.quantity == "difference_to_k1") & (results.k == 3) & (results.split == "test")
    for value, low, high, words in (
        (
            0.012,
            0.010,
            0.014,
            "K = 3 the cross entropy on the smallest component (source-1) is higher",
        ),
        (-0.012, -0.014, -0.010, "is lower than at K = 1: difference -0.0120 [-0.0140, -0.0100]"),
        (0.001, -0.002, 0.004, "is not distinguishably different from that at K = 1"),
        (0.001, float("nan"), float("nan"), "+0.0010 [no interval: a component has one document]"),
    ):
        changed = results.copy()
        changed.loc[row, ["value", "low", "high"]] = [value, low, high]
        sentence = next(s for s in sentences(changed) if s.startswith("At K = 3"))
        assert words in sentence


def test_insights_of_one_k_without_optimum() -> None:
    gain, advice, seeds = sentences(make_results(known=False, ks=(3,)))
    assert "the cross entropy of K = 3 on the smallest component does not" in gain
    assert "`controls.specialists=true`" in advice
    assert "`controls.seeds=3`" in seeds


def test_component_table_brackets_what_was_not_trained_on(results: pd.DataFrame) -> None:
    report = make_report(results)
    assert report.components.columns == NAMES
    for k, *cells in table(report, "Cross entropy by component"):
        assert [cell.startswith("(") for cell in cells] == [i >= int(k) for i in range(5)]


@pytest.fixture(scope="module")
def everything() -> pd.DataFrame:
    return make_all_results()


def test_tables_of_everything(everything: pd.DataFrame) -> None:
    report = make_report(everything)
    assert [row[0] for row in table(report, "Contrasts with K = 1")] == list("2345")
    matrix = table(report, "How much worse other specialists predict")
    assert [row[0] for row in matrix] == NAMES
    assert [matrix[i][i + 1] for i in range(5)] == ["0"] * 5
    convergence = table(report, "Convergence")
    assert [row[0] for row in convergence] == list("12345")
    assert convergence[4][4] == "1,203,200"
    gap = everything[(everything.quantity == "train_gap") & (everything.split == "test")]
    assert convergence[1][3].startswith(f"{gap.set_index('k').value[2]:+.4f} [")
    assert {row[2] for row in table(report, "Fits of L(t)")} == {"power", "exponential"}
    costs = table(report, "The cost of K, term by term")
    assert [row[:2] for row in costs[:3]] == [
        ["2", name] for name in ("all components", *NAMES[:2])
    ]
    bound = everything[(everything.quantity == "identification_bound") & (everything.k == 2)]
    assert costs[0][6] == f"{bound.value.iloc[0]:.4f}"


def test_specialists_that_might_gain_from_more_epochs(everything: pd.DataFrame) -> None:
    assert not any("make the most epochs" in sentence for sentence in sentences(everything))
    changed = everything.copy()
    chosen = (changed.quantity == "specialist_epochs") & (changed.split == "test")
    changed.loc[chosen & (changed.tokens == 60_000), "note"] = "the most epochs that were tried"
    (line,) = [sentence for sentence in sentences(changed) if "make the most epochs" in sentence]
    assert "Of 25 specialists, 5 make" in line


def test_without_known_sources_it_is_mixing_redundancy(everything: pd.DataFrame) -> None:
    unknown = everything[~everything.quantity.str.startswith("exact_")]
    found = sentences(unknown)
    (cost,) = [sentence for sentence in found if sentence.startswith("A model of K = 5 costs")]
    assert "(mixing redundancy) +" in cost
    assert "not knowing the component" not in cost
    assert "the lowest cross entropy on validation text" in cost
    assert "The largest part is mixing redundancy." in "".join(found)
    report = make_report(unknown)
    text = render_markdown(report, [])
    assert "| starvation | mixing redundancy | interference |" in text
    assert "identification" not in text.split("## Words")[0]
    confounded = unknown.copy()
    confounded.loc[confounded.quantity == "starvation", "note"] = "less text goes with fewer steps"
    found = sentences(confounded)
    assert any("not about text alone: less text goes with fewer steps" in line for line in found)
    assert "the lowest cross entropy on validation text" not in "".join(found)


def test_sentences_of_everything(everything: pd.DataFrame) -> None:
    found = sentences(everything)
    for words in (
        "A model of K = 5 costs",
        "here it costs",
        "identifies the component of a window correctly in 9",
        "least-squares slope",
        "tokens at K = 1 and",
        "less its final training loss",
        "A specialist predicts another component's text worse",
        "With 4 other components, source-5 is predicted as if it had less than 0.20 of D as text",
        "`controls.specialist_sizes=10+20` adds",
        "These runs do not determine 20 exchange rates",
        "These runs do not determine what these laws predict of other sets: transfer",
    ):
        assert sum(words in sentence for sentence in found) >= 1, words


@pytest.mark.parametrize(("low", "largest"), [(0.025, True), (0.008, False)])
def test_no_part_is_called_the_largest_whose_interval_meets_another(
    everything: pd.DataFrame, low: float, largest: bool
) -> None:
    here = (everything.series == "chain") & (everything.k == 5) & (everything.split == "test")
    changed = everything.copy()
    for term, values in (("interference", (0.03, low, 0.04)), ("starvation", (0.01, 0.005, 0.02))):
        changed.loc[here & (changed.quantity == term), ["value", "low", "high"]] = values
    text = " ".join(sentences(changed))
    assert ("The largest part is interference." in text) == largest
    assert ("No part is clearly the largest" in text) != largest


@pytest.mark.parametrize(
    ("value", "spreads", "words"),
    [
        (0.000, {}, "includes zero, as it should"),
        (0.004, {}, "does NOT include zero. The interval is over documents alone"),
        (0.004, {1: 0.003, 2: 0.001}, "lies within what two seeds differ by"),
        (0.004, {1: 0.0003, 2: 0.0001}, "and lies beyond what two seeds differ by"),
    ],
)
def test_pseudo_components_are_judged_by_documents_and_seeds(
    results: pd.DataFrame, value: float, spreads: dict[int, float], words: str
) -> None:
    base = results[results.split == "test"].iloc[0].to_dict()
    interval = {"value": value, "low": value - 0.001, "high": value + 0.001}
    pseudo = {"series": "pseudo", "quantity": "difference_to_k1", "k": 2, **interval}
    rows = [base | pseudo]
    for k, spread in spreads.items():
        rows.append(base | {"quantity": "seed_spread", "k": k, "value": spread, "seeds": 3})
    text = " ".join(sentences(pd.concat([results, pd.DataFrame(rows)])))
    assert words in text
    if spreads:  # t with 4 degrees of freedom, of a difference of two runs
        noise = 2.776 * (2 * (spreads[1] ** 2 + spreads[2] ** 2) / 2) ** 0.5
        assert f"differ by up to {noise:.4f} nats" in text


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
    html = render_html(report, [PICTURE])
    page = _Page()
    page.feed(html)
    text = " ".join(" ".join(page.text).split())
    assert page.sources == ["data:image/png;base64," + base64.b64encode(PICTURE.png).decode()]
    assert page.tags.count("table") == 1 + render_markdown(report, []).count("\n## ")
    assert {"script", "link"}.isdisjoint(page.tags)
    for sentence in sentences(results):
        assert sentence.replace("`", "") in text
    for expected in ("passed", "300,000", "training.learning_rate", make_design().store):
        assert expected in text
    assert "FAILED" not in text
    assert make_manifests()[2].fingerprint in text


def test_text_from_outside_is_escaped(results: pd.DataFrame) -> None:
    report = make_report(results.replace({"component": {"source-2": "<b>a|b</b>"}}))
    assert "<b>" not in render_html(report, [])
    line = next(s for s in render_markdown(report, []).splitlines() if "a\\|b" in s)
    assert line.count(" | ") == 5


def test_markdown_has_the_same_content(results: pd.DataFrame) -> None:
    report = make_report(results)
    text = render_markdown(report, [PICTURE])
    assert "## Cross entropy against K\n\n![Cross entropy against K](xe_by_k.png)\n" in text
    assert "\n\n\n" not in text
    page = _Page()
    page.feed(render_html(report, [PICTURE]))
    assert page.tags.count("h2") == text.count("\n## ")
    assert page.tags.count("li") == text.count("\n- ")
    assert page.tags.count("tr") == text.count("\n| ") - text.count("\n| --- ")


def test_failed_checks_are_shown_and_absent_ones_left_out(results: pd.DataFrame) -> None:
    worse = results.assign(
        value=results.value.where(results.quantity != "excess", results.value + 0.1)
    )
    assert "FAILED" in render_markdown(make_report(worse), [])
    assert "Acceptance" not in render_markdown(make_report(make_results(known=False)), [])


def test_words_follow_the_p_value_too() -> None:
    results = make_all_results()
    assert "is higher than at K = 1" in sentences(results)[3]
    results.loc[(results.k == 5) & (results.quantity == "p_value_holm"), "value"] = 0.08
    sentence = sentences(results)[3]
    assert "At K = 5" in sentence
    assert "is not distinguishably different from that at K = 1" in sentence


def test_settings_in_sentences_are_code(results: pd.DataFrame) -> None:
    page = render_html(make_report(results), [])
    assert "<code>controls.specialists=true</code>" in page
    assert "`controls.specialists=true`" in render_markdown(make_report(results), [])


def test_models_that_learnt_nothing_are_told() -> None:
    results = make_results()
    assert "hardly trained" not in " ".join(sentences(results))
    results.loc[results.quantity == "excess", "value"] += 1
    assert "1.01 nats above the optimum these models are hardly trained" in " ".join(
        sentences(results)
    )


def test_few_documents_are_told() -> None:
    text = " ".join(sentences(make_results(known=False)))
    assert "Only 12 test documents of source-1 are available" in text


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
