"""The report says what the numbers say, and needs no other file."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from ergokedro.analysis.measurement import xe_table
from ergokedro.reporting.report import (
    format_table,
    render_markdown,
)
from made_reports import QUESTION, answer, changed_headline, make_report, sentences, state_of, table
from synthetic_results import (
    NAMES,
    make_all_results,
    make_design,
    make_results,
)


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return make_results()


def test_terminal_table(results: pd.DataFrame) -> None:
    design = make_design()
    meaning, *title, header, one, two, three, four, five = (
        format_table(xe_table(results, design), results, design).strip().splitlines()
    )
    assert meaning == answer(results)
    assert "nats per token: on source-1, the same text for every K" in " ".join(title)
    columns = re.split("  +", header.strip())
    assert columns == [
        "K", "on source-1", "on own components", "95 % interval", "least possible", "excess",
        "components",
    ]  # fmt: skip
    row = xe_table(results, design).iloc[1]
    numbers = [
        f"{row[name]:.4f}" for name in ("smallest", "xe", "low", "high", "optimum", "excess")
    ]
    numbers[2:4] = [" to ".join(numbers[2:4])]
    assert re.split("  +", two.strip()) == ["2", *numbers, "source-1, source-2"]
    assert [line.split()[0] for line in (one, two, three, four, five)] == list("12345")


def test_the_terminal_table_without_an_optimum_names_none() -> None:
    unknown, design = make_results(known=False), make_design()
    text = format_table(xe_table(unknown, design), unknown, design)
    assert "least" not in text
    assert "excess" not in text


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


def test_draws_that_share_text_are_said_to(results: pd.DataFrame) -> None:
    rows = results[(results.quantity == "difference_to_k1") & (results.k == 5)]
    disjoint = pd.concat([results.assign(draws=3), rows.assign(quantity="variance_draws", note="")])
    assert (
        state_of(disjoint, "3 draws of the training documents, which have no text in") == "passed"
    )
    shared = disjoint.copy()
    note = "two draws have 40% of their text in common"
    shared.loc[shared.quantity == "variance_draws", "note"] = note
    assert state_of(shared, f"but {note}: the variance between draws is too small") == "warning"


def test_sets_of_components_are_the_headline_where_they_were_run(results: pd.DataFrame) -> None:
    of_sets = results[(results.series == "smallest") & (results.position == 0)]
    both = pd.concat([results, of_sets.assign(series="balanced")])
    assert "in the mean over balanced sets of components" in answer(both)
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


def test_which_specialists_were_chosen_is_said() -> None:
    results = make_all_results()
    (line,) = [s for s in sentences(results) if s.startswith("Each specialist is the best")]
    assert "models of K: 1 with D tokens, 1 with D/2 tokens," in line
    assert "1 with D/5 tokens. Its learning rate is theirs." in line
    chosen = results.component == NAMES[1]
    of_fifth = chosen & (results.tokens == 60_000)
    results.loc[chosen & (results.quantity == "specialist_epochs"), "value"] = 2.0
    results.loc[of_fifth & (results.quantity == "specialist_rate"), "value"] = 0.5
    (line,) = [s for s in sentences(results) if "best of its size" in s]
    assert "1 to 2 with D tokens, 1 to 2 with D/2 tokens," in line
    assert "1 with D/4 tokens, 0.5 to 1 with D/5 tokens." in line


def test_specialists_that_might_gain_from_more_epochs(everything: pd.DataFrame) -> None:
    assert not any("make the most epochs" in sentence for sentence in sentences(everything))
    changed = everything.copy()
    chosen = (changed.quantity == "specialist_epochs") & (changed.split == "test")
    changed.loc[chosen & (changed.tokens == 60_000), "note"] = "the most epochs that were tried"
    (line,) = [sentence for sentence in sentences(changed) if "make the most epochs" in sentence]
    assert "Of 25 specialists, 5 make" in line


def test_specialists_that_are_not_the_best(everything: pd.DataFrame) -> None:
    """K = 1 with the same text is better, by more than chance, on the first of two components."""
    assert not any("not the best there are" in sentence for sentence in sentences(everything))
    own = (everything.quantity == "specialist_xe") & (everything.tokens == 300_000)
    own &= everything.component.isin(NAMES[:2])
    less = everything[own].assign(quantity="specialist_less_k1", value=0.14, low=0.13, high=0.15)
    less.loc[less.component == NAMES[1], "low"] = -0.01
    (line,) = [
        sentence
        for sentence in sentences(pd.concat([everything, less], ignore_index=True))
        if "not the best there are" in sentence
    ]
    assert f"On {NAMES[0]} the difference is 0.1400 [0.1300, 0.1500] nats per token." in line
    assert NAMES[1] not in line


def test_without_known_sources_it_is_mixing_redundancy(everything: pd.DataFrame) -> None:
    unknown = everything[~everything.quantity.str.startswith("exact_")]
    unknown = unknown.assign(note="")  # as with specialist_form=best
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
        "Left out and predicted from the other K by a curve",
        "predicts not distinguishably better or worse than log K",
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
    ("value", "draws", "spreads", "words"),
    [
        (0.000, 1, {}, "includes zero, as it should"),
        (0.004, 1, {}, "does NOT include zero. The interval is over documents alone"),
        (0.004, 3, {}, "does NOT include zero, though the interval also holds training documents"),
        (0.004, 1, {1: 0.003, 2: 0.001}, "lies within what two seeds differ by"),
        (0.004, 1, {1: 0.0003, 2: 0.0001}, "and lies beyond what two seeds differ by"),
    ],
)
def test_pseudo_components_are_judged_by_documents_and_seeds(
    results: pd.DataFrame, value: float, draws: int, spreads: dict[int, float], words: str
) -> None:
    base = results[results.split == "test"].iloc[0].to_dict()
    interval = {"value": value, "low": value - 0.001, "high": value + 0.001}
    pseudo = {"series": "pseudo", "quantity": "difference_to_k1", "k": 2, "draws": draws}
    rows = [base | pseudo | interval]
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
