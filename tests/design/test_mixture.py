"""Budgets and manifests: equal totals, equal shares, nothing from held-out text."""

from __future__ import annotations

import io
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conftest import StoreMaker, write_range_store
from ergokedro.data.cleaning import REASONS
from ergokedro.data.token_store import TokenStore
from ergokedro.design.accounting import token_accounting
from ergokedro.design.evaluation_windows import choose_evaluation_windows
from ergokedro.design.mixture import (
    Design,
    check_current,
    describe,
    design_mixtures,
    make_manifest,
    tabulate_budgets,
    water_fill,
)
from ergokedro.design.runs import chain
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import EvaluationParameters, MixtureParameters

SPLITS = ("train", "validation", "test")
SIZES = {"a": [900, 800], "b": [5000], "c": [2500, 400], "d": [700]}


def lengths_of(sizes: dict[str, list[int]]) -> dict[tuple[str, str], list[int]]:
    heldout = {(s, c): [260, 150] for s in SPLITS[1:] for c in sizes}
    return {**{("train", c): n for c, n in sizes.items()}, **heldout}


def design(store: TokenStore, top_n: int, **params: object) -> Design:
    mixture = MixtureParameters(top_n=top_n, **params)
    return design_mixtures(store, token_accounting(store), mixture)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(50, 3000), min_size=1, max_size=6), min_size=1, max_size=6),
    length=st.sampled_from([7, 100]),
)
def test_invariants(sizes: list[list[int]], length: int) -> None:
    names = {f"c{i}": n for i, n in enumerate(sizes)}
    with tempfile.TemporaryDirectory() as directory:
        store = write_range_store(Path(directory) / "store", lengths_of(names))
        try:
            plan = design(store, len(names), window_length=length)
        except ErgokedroError as error:
            assume("D would be zero" not in error.message)
            raise
        smallest = min(sum(n) for n in sizes)
        manifests = [make_manifest(store, plan, chain(k)) for k in range(1, len(names) + 1)]
        assert plan.total_tokens <= smallest
        assert plan.components == sorted(names, key=lambda c: (sum(names[c]), c))
        for manifest in manifests:
            assert manifest.total_windows * length == manifest.total_tokens == plan.total_tokens
            assert not any(component.adjusted for component in manifest.components)
            for component in manifest.components:
                first, end = store.span("train", component.label)
                assert component.start == first
                assert component.stop <= end
                assert component.stop - component.start == component.windows * length
                assert component.windows * manifest.k == manifest.total_windows
        for fewer, more in pairwise(manifests):
            assert more.labels[: fewer.k] == fewer.labels
            for wide, narrow in zip(fewer.components, more.components, strict=False):
                assert narrow.start == wide.start  # a prefix, so larger K see a part of the same
                assert narrow.stop <= wide.stop


def test_the_largest_are_chosen_and_ordered_ascending(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    assert design(store, 3).components == ["a", "c", "b"]
    assert design(store, 2, rank_by="documents").components == ["a", "c"]
    pinned = design(store, 5, components=["b", "d"])
    assert pinned.components == ["d", "b"]
    assert pinned.chosen_by == "pinned"
    assert pinned.reason == (
        "pinned by mixture.components; by tokens it would be c instead of d; "
        "by documents it would be a, c instead of d, b; ascending by training tokens"
    )


def test_the_design_says_what_the_other_ranking_would_choose(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 2)
    assert plan.chosen_by == "tokens"
    assert plan.rankings == {"tokens": ["b", "c", "a", "d"], "documents": ["a", "c", "b", "d"]}
    assert (
        "the 2 largest by training tokens; by documents it would be a instead of b;" in plan.reason
    )
    assert "by documents the same" in design(store, 3).reason
    assert "by tokens it would be b instead of a" in design(store, 2, rank_by="documents").reason


def test_d_is_the_smallest_component_rounded_to_all_k(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    assert design(store, 3).total_tokens == 1200  # 17 windows, rounded to a multiple of 6
    assert design(store, 3, total_tokens=700).total_tokens == 600


@pytest.mark.parametrize(
    ("total", "capacities", "expected"),
    [
        (12, [5, 9, 9], [4, 4, 4]),
        (12, [2, 9, 9], [2, 5, 5]),
        (13, [2, 9, 9], [2, 5, 6]),
        (12, [2, 3, 9], [2, 3, 7]),
        (14, [9, 2, 3], [9, 2, 3]),
        (0, [1, 1], [0, 0]),
    ],
)
def test_water_filling(total: int, capacities: list[int], expected: list[int]) -> None:
    shares = water_fill(total, capacities)
    assert sorted(shares) == sorted(expected)
    assert sum(shares) == total


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.floats(0, 1))
def test_water_filling_is_fair(capacities: list[int], fraction: float) -> None:
    total = int(fraction * sum(capacities))
    shares = water_fill(total, capacities)
    assert sum(shares) == total
    short = [s for s, c in zip(shares, capacities, strict=True) if s < c]
    assert all(s <= c for s, c in zip(shares, capacities, strict=True))
    # Who is not short of text gives as much as anyone, to one unit.
    assert not short or max(shares) - min(short) <= 1


def test_a_budget_above_the_smallest_is_filled_up_by_the_others(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 3, total_tokens=4200)
    manifest = make_manifest(store, plan, chain(3))
    assert [c.windows for c in manifest.components] == [14, 14, 14]
    manifest = make_manifest(store, design(store, 3, total_tokens=6000), chain(3))
    assert [c.windows for c in manifest.components] == [17, 21, 22]
    assert all(c.adjusted for c in manifest.components)
    assert manifest.total_tokens == 6000
    with pytest.raises(ErgokedroError, match=r"mixture\.total_tokens = 6,000: .*leave k1 out"):
        make_manifest(store, plan.model_copy(update={"total_tokens": 6000}), chain(1))


def test_impossible_designs_name_the_remedy(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    with pytest.raises(ErgokedroError, match=r"has 4 categories.*a, b, c, d.*mixture\.top_n"):
        design(store, 5)
    with pytest.raises(ErgokedroError, match=r"D would be zero.*1,200.*700 \(d is the smallest"):
        design(store, 4)
    with pytest.raises(ErgokedroError, match="must name each category once"):
        design(store, 2, components=["a", "x"])


def test_accounting_agrees_with_the_store(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    table = token_accounting(store).set_index(["split", "label"])
    assert table.tokens.sum() == store.n_tokens
    assert table.loc[("train", "a"), ["documents", "tokens", "longest"]].to_list() == [2, 1700, 900]
    assert table.loc[("train", "a"), "share"] == 1700 / 10300
    assert table.loc[("train", "a"), "median"] == 850
    assert (table.tokens_before == table.tokens).all()
    assert (table.documents_before == table.documents).all()
    assert table.rank_by_tokens["train"].to_dict() == {"a": 3, "b": 1, "c": 2, "d": 4}
    assert table.rank_by_documents["train"].to_dict() == {"a": 1, "b": 3, "c": 2, "d": 4}
    assert table.rank_by_tokens[["validation", "test"]].isna().all()


def test_accounting_counts_what_cleaning_dropped(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    dropped = [
        ("a", "duplicate", 2, 90),
        ("a", "near_heldout", 1, 50),
        (None, "unknown_label", 3, 7),
    ]
    store.meta["cleaning"] += [
        {"split": "train", "label": label, "status": status, "documents": n, "tokens": tokens}
        for label, status, n, tokens in dropped
    ]
    table = token_accounting(store).set_index(["split", "label"])
    a = table.loc[("train", "a")]
    assert a[["documents", "documents_before", "tokens", "tokens_before"]].to_list() == [
        2, 5, 1700, 1700 + 90 + 50 + 3,
    ]  # fmt: skip
    assert a[[*REASONS]].to_list() == [0, 0, 0, 2, 1, 0]
    unknown = table.loc[("train", "(unknown)")]
    assert unknown[["documents_before", "documents", "unknown_label"]].to_list() == [3, 0, 3]
    assert ("test", "(unknown)") not in table.index
    # The table is chosen from as it comes back from its CSV file.
    again = pd.read_csv(io.StringIO(token_accounting(store).to_csv(index=False)))
    plan = design_mixtures(store, again, MixtureParameters(top_n=4, window_length=50))
    assert plan.components == ["d", "a", "c", "b"]


def test_budgets_are_those_of_the_manifests(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 3, total_tokens=6000)
    table = tabulate_budgets(plan)
    assert table.columns.to_list() == ["k", "component", "windows", "tokens", "share", "adjusted"]
    assert table[table.k == 1].component.to_list() == ["(too small for D)"]
    assert table[table.k == 2].component.to_list() == ["(too small for D)"]
    last = table[table.k == 3]
    manifest = make_manifest(store, plan, chain(3))
    assert last.component.to_list() == manifest.labels
    assert last.windows.to_list() == [c.windows for c in manifest.components]
    assert last.adjusted.to_list() == [c.adjusted for c in manifest.components]
    assert last.tokens.sum() == plan.total_tokens
    assert last.share.sum() == pytest.approx(1)
    assert len(tabulate_budgets(design(store, 3))) == 6


def test_evaluation_windows(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 3)
    windows = choose_evaluation_windows(store, plan, EvaluationParameters(windows_per_document=20))
    assert list(windows.columns) == ["split", "component", "document", "start"]
    assert windows.component.unique().tolist() == plan.components
    assert not windows.duplicated().any()
    index = store.index.to_pandas().set_index("document")
    document = index.loc[windows.document]
    assert (document.split.to_numpy() == windows.split.to_numpy()).all()
    first, last = document.offset.to_numpy(), (document.offset + document.length).to_numpy()
    assert (windows.start >= first).all()
    assert (windows.start + 100 <= last - 1).all()  # the end-of-text token stays outside
    gaps = windows.groupby(["split", "document"]).start.diff().dropna()
    assert (gaps >= 100).all()
    assert len(windows) == 2 * 3 * (2 + 1)
    one = choose_evaluation_windows(store, plan, EvaluationParameters(windows_per_document=1))
    assert len(one) == 2 * 3 * 2


@given(length=st.integers(1, 5000), most=st.integers(1, 30))
def test_evaluation_windows_never_overlap(length: int, most: int) -> None:
    from ergokedro.design.evaluation_windows import _document_windows

    documents = pd.DataFrame({"document": [7], "offset": [1000], "length": [length]})
    starts = _document_windows(
        documents, 100, EvaluationParameters(windows_per_document=most)
    ).start
    assert len(starts) == min(most, (length - 1) // 100)
    if len(starts):
        assert starts.min() == 1000
        assert starts.max() + 100 <= 1000 + length - 1
        assert (np.diff(starts) >= 100).all()


def test_a_component_without_heldout_text_is_an_error(make_store: StoreMaker) -> None:
    lengths = {**lengths_of(SIZES), ("test", "a"): [100]}
    store = make_store(lengths)
    with pytest.raises(ErgokedroError, match=r"'a' has no test document of 100 tokens"):
        choose_evaluation_windows(store, design(store, 3), EvaluationParameters())


def test_few_heldout_documents_are_told(
    make_store: StoreMaker, caplog: pytest.LogCaptureFixture
) -> None:
    many = {(s, c): [150] * 20 for s in SPLITS[1:] for c in SIZES}
    store = make_store({**lengths_of(SIZES), **many, ("test", "a"): [150] * 19})
    choose_evaluation_windows(store, design(store, 3), EvaluationParameters())
    (message,) = caplog.messages
    assert message.startswith("Few test documents: a 19. ")


def test_a_component_much_smaller_than_the_rest_is_told(make_store: StoreMaker) -> None:
    store = make_store(lengths_of({**SIZES, "d": [320]}))
    assert describe(design(store, 3)) == (
        "Components by training tokens: a 1,700, c 2,900, b 5,000. D = 1,200 for every K"
    )
    store = make_store(lengths_of({"b": [5000], "d": [620]}))
    assert "D = 600 for every K, all that d has: without it" in describe(design(store, 2))


def test_a_manifest_of_another_store_is_refused(make_store: StoreMaker) -> None:
    class Tokenizer:
        fingerprint = "tokenizer"

    store = make_store(lengths_of(SIZES))
    other = make_store({**lengths_of(SIZES), ("test", "d"): [333]})
    manifest = make_manifest(store, design(store, 2), chain(2))
    check_current(manifest, store, Tokenizer())  # type: ignore[arg-type]
    with pytest.raises(ErgokedroError, match="kedro run --pipelines mixture_design"):
        check_current(manifest, other, Tokenizer())  # type: ignore[arg-type]
    Tokenizer.fingerprint = "another"
    with pytest.raises(ErgokedroError, match="kedro run --pipelines data_processing"):
        check_current(manifest, store, Tokenizer())  # type: ignore[arg-type]
