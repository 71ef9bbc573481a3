"""The report says what the numbers say, and needs no other file."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from html.parser import HTMLParser
from itertools import takewhile

import pandas as pd
import pytest
from plotly.offline import get_plotlyjs

from ergokedro.analysis.checks import acceptance
from ergokedro.analysis.controls import CONTROLS
from ergokedro.analysis.measurement import xe_table
from ergokedro.parameters import Parameters
from ergokedro.reporting.checks import late_fall
from ergokedro.reporting.pictures import Picture, plotly_library
from ergokedro.reporting.report import (
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
    PNG,
    make_all_results,
    make_design,
    make_history,
    make_manifests,
    make_results,
    make_summary,
)

PICTURES = {
    "effect_of_k": Picture("effect_of_k", "Effect", "K costs", "in nats", "K costs. 1: 0", PNG, "")
}


QUESTION = "How does cross entropy change with the number of components in training?"


def make_report(results: pd.DataFrame) -> Report:
    manifests = make_manifests()
    return build_report(
        results,
        xe_table(results, make_design()),
        acceptance(results, bounds={1: 0.005, 5: 0.015}),
        make_design(),
        manifests,
        [make_summary(manifest) for manifest in manifests],
        {manifest.k: make_history(manifest.k) for manifest in manifests},
        Parameters(),
    )


def sentences(results: pd.DataFrame) -> list[str]:
    """The sentences of the report in Markdown: its paragraphs and the items of its lists."""
    lines = render_markdown(make_report(results), {}).splitlines()
    return [line.removeprefix("- ") for line in lines if line and line[0] not in "#|!"]


def answer(results: pd.DataFrame) -> str:
    """What the report opens with."""
    return sentences(results)[0]


def checks(results: pd.DataFrame) -> dict[str, str]:
    """State by the words of a check."""
    lines = [line for line in sentences(results) if line.startswith("*")]
    return {text: state for state, text in (line[1:].split("*: ", 1) for line in lines)}


def state_of(results: pd.DataFrame, words: str) -> str:
    """The state of the check that says `words`."""
    (state,) = [state for text, state in checks(results).items() if words in text]
    return state


def table(report: Report, title: str) -> list[list[str]]:
    """The cells of a table of the report in Markdown, without its heading."""
    _, section = render_markdown(report, {}).split(f"# {title}\n")
    lines = section.split("\n#")[0].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| "))
    rows = takewhile(lambda line: line.startswith("| "), lines[first + 2 :])
    return [row[2:-2].split(" | ") for row in rows]


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_results()


def test_terminal_table(results: pd.DataFrame) -> None:
    design = make_design()
    meaning, title, header, *lines = (
        format_table(xe_table(results, design), results, design).strip().splitlines()
    )
    assert meaning == answer(results)
    assert "nats" in title
    assert header.split() == [
        "k", "xe", "low", "high", "smallest", "optimum", "excess", "components",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines] == list("12345")
    unknown = make_results(known=False)
    assert "optimum" not in format_table(xe_table(unknown, design), unknown, design)


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


def changed_headline(
    results: pd.DataFrame, value: float, half: float, decision: str
) -> pd.DataFrame:
    """The results with another difference of K = 5 to K = 1."""
    row = (results.quantity == "difference_to_k1") & (results.k == 5) & (results.split == "test")
    assert row.sum() == 1
    changed = results.copy()
    columns = ["value", "low", "high", "note"]
    changed.loc[row, columns] = [value, value - half, value + half, decision]
    return changed


@pytest.mark.parametrize(
    ("value", "decision", "words"),
    [
        (
            0.012,
            "higher",
            "cross entropy rises by 0.0120 [0.0100, 0.0140] nats per token on source-1",
        ),
        (-0.012, "lower", "cross entropy falls by 0.0120 [0.0100, 0.0140] nats per token"),
        (
            0.001,
            "not determined",
            "it is not determined whether cross entropy changes: +0.0010 [-0.0010, +0.0030] nats",
        ),
    ],
)
def test_the_answer_follows_the_numbers(
    results: pd.DataFrame, value: float, decision: str, words: str
) -> None:
    changed = changed_headline(results, value, 0.002, decision)
    text = answer(changed)
    assert text.startswith("When 300,000 training tokens come from 5 components instead of all")
    assert words in text
    assert "while other training documents and seeds were not tried" in text
    rows = table(make_report(changed), QUESTION)
    assert rows[4][1:3] == [f"{value:+.4f}", f"{value - 0.002:+.4f} to {value + 0.002:+.4f}"]
    assert rows[4][3] == {"higher": "yes, higher", "lower": "yes, lower"}.get(decision, decision)
    assert len(rows[0]) == 6


def test_the_answer_says_which_chance_its_interval_holds(results: pd.DataFrame) -> None:
    changed = results.assign(draws=3, seeds=1)  # every draw has a seed of its own
    assert "chance of held-out documents and of training documents and of seeds explains." in (
        answer(changed)
    )
    needed = changed_headline(results, 0.001, 0.002, "not determined")
    row = needed[needed.quantity == "difference_to_k1"].iloc[-1].to_dict()
    row |= {"quantity": "needed_documents", "value": 1234.0, "k": 5, "split": "test"}
    text = answer(pd.concat([needed, pd.DataFrame([row])]))
    assert text.endswith("An effect of the size that was asked for would take 1,234 documents.")


def test_sets_of_components_are_the_headline_where_they_were_run(results: pd.DataFrame) -> None:
    of_sets = results[(results.series == "smallest") & (results.position == 0)]
    both = pd.concat([results, of_sets.assign(series="balanced")])
    assert "in the mean over all sets of components" in answer(both)
    assert state_of(results, "`controls.subsets=true`") == "not run"
    assert state_of(both, "same weight at every K") == "passed"


def test_the_answer_of_one_k_without_optimum() -> None:
    one = make_results(known=False, ks=(3,))
    assert "takes" not in answer(one)
    assert "how it changes with K is not known without K = 1, which `kedro run --params k=1-3`" in (
        answer(one)
    )
    assert any("`controls.specialists=true`" in sentence for sentence in sentences(one))
    assert state_of(one, "`controls.seeds=3`") == "not run"
    assert state_of(one, "Leaks not checked") == "not run"


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
    assert [row[:2] for row in table(report, "All differences from K = 1")] == [
        ["smallest", k] for k in "2345"
    ]
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
    assert any("the lowest cross entropy on validation text" in line for line in found)
    assert "The largest part is mixing redundancy." in "".join(found)
    report = make_report(unknown)
    text = render_markdown(report, {})
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
    changed = pd.concat([results, pd.DataFrame(rows)])
    text = " ".join(sentences(changed))
    assert words in text
    state = "passed" if words.endswith(("should", "seeds differ by")) else "warning"
    state = "warning" if "beyond" in words else state
    assert state_of(changed, "With 2 random parts of one component in place of") == state
    if spreads:  # t with 4 degrees of freedom, of a difference of two runs
        noise = 2.776 * (2 * (spreads[1] ** 2 + spreads[2] ** 2) / 2) ** 0.5
        text = " ".join(sentences(changed.assign(seeds=3)))
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
