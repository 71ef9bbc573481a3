"""Budgets and manifests: equal totals, equal shares, nothing from held-out text."""

from __future__ import annotations

import io
import tempfile
from dataclasses import replace
from itertools import combinations, pairwise, product
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
from ergokedro.design.descriptions import describe, describe_texts, tabulate_budgets
from ergokedro.design.mixture import (
    Component,
    Design,
    check_current,
    design_mixtures,
    make_manifest,
)
from ergokedro.design.runs import Run, chain, repeat_run
from ergokedro.errors import ErgokedroError
from ergokedro.files import fingerprint
from ergokedro.parameters import MixtureParameters

SPLITS = ("train", "validation", "test")
SIZES = {"a": [900, 800], "b": [5000], "c": [2500, 400], "d": [700]}


def lengths_of(sizes: dict[str, list[int]]) -> dict[tuple[str, str], list[int]]:
    heldout = {(s, c): [260, 150] for s in SPLITS[1:] for c in sizes}
    return {**{("train", c): n for c, n in sizes.items()}, **heldout}


def design(store: TokenStore, top_n: int, **params: object) -> Design:
    mixture = MixtureParameters(top_n=top_n, **params)
    return design_mixtures(store, token_accounting(store), mixture)


Sizes = list[list[int]]
some_sizes = st.lists(
    st.lists(st.integers(50, 3000), min_size=1, max_size=6), min_size=1, max_size=6
)


def some_design(directory: str, sizes: Sizes, **params: object) -> tuple[TokenStore, Design]:
    """A store of components of these documents, and its design if that is possible."""
    names = {f"c{i}": n for i, n in enumerate(sizes)}
    store = write_range_store(Path(directory) / "store", lengths_of(names))
    try:
        return store, design(store, len(names), **params)
    except ErgokedroError as error:
        assume("D would be" not in error.message)
        raise


def tokens_of(components: list[Component]) -> set[int]:
    """All tokens of some components' text."""
    spans = [span for component in components for span in component.spans]
    return {token for start, stop in spans for token in range(start, stop)}


@settings(max_examples=25, deadline=None)
@given(sizes=some_sizes, length=st.sampled_from([7, 100]))
def test_invariants(sizes: Sizes, length: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store, plan = some_design(directory, sizes, window_length=length)
        smallest = min(sum(n) for n in sizes)
        manifests = [make_manifest(store, plan, chain(k)) for k in range(1, len(sizes) + 1)]
        # At most 1 % is lost, besides what does not fill a window.
        assert 0.99 * (smallest // length) <= plan.total_windows <= smallest // length
        assert plan.components == sorted(plan.tokens, key=lambda c: (plan.tokens[c], c))
        for manifest in manifests:
            assert manifest.total_windows * length == manifest.total_tokens == plan.total_tokens
            assert not any(component.adjusted for component in manifest.components)
            windows = [component.windows for component in manifest.components]
            assert max(windows) - min(windows) == int(manifest.uneven)
            assert manifest.uneven == (plan.total_windows % manifest.k != 0)
            for component in manifest.components:
                first, end = store.span("train", component.label)
                assert (component.start, component.more_spans) == (first, ())
                assert component.stop <= end
                assert component.stop - component.start == component.windows * length
        for fewer, more in pairwise(manifests):
            assert more.labels[: fewer.k] == fewer.labels
            for wide, narrow in zip(fewer.components, more.components, strict=False):
                assert narrow.start == wide.start  # a prefix, so larger K see a part of the same
                assert narrow.stop <= wide.stop


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("total", [300, 700, 1300])
def test_manifests_say_how_much_text_draws_have_in_common(
    make_store: StoreMaker, within: bool, total: int
) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 3, window_length=20, total_tokens=total, within_documents=within)
    for run in (*map(chain, (1, 2, 3)), Run("", (3,), 3, pseudo=True), Run("", (1,), 2)):
        manifests = [make_manifest(store, plan, repeat_run(run, draw, 4, 0)) for draw in range(4)]
        assert manifests[0] == make_manifest(store, plan, run)
        assert len({manifest.total_tokens for manifest in manifests}) == 1
        for manifest in manifests[1:]:
            for component in manifest.components:
                own = tokens_of([component])
                others = [
                    tokens_of([c for c in other.components if c.label == component.label])
                    for other in manifests
                    if other is not manifest
                ]
                common = np.mean([len(own & other) for other in others])
                assert component.overlap == pytest.approx(common / len(own))
                taken = manifest.total_windows if run.pseudo else component.windows
                enough = 4 * taken <= component.available_windows
                assert not (enough and component.overlap)


def test_more_draws_leave_earlier_ones_as_they_are(make_store: StoreMaker) -> None:
    store = make_store(lengths_of({"a": [100] * 40, "b": [130] * 40}))
    plan = design(store, 2, total_tokens=1000)
    for run in (chain(1), chain(2)):
        few, more = (
            make_manifest(store, plan, repeat_run(run, 1, draws, 0)).components for draws in (2, 3)
        )
        assert few == more
    # Each draw begins with a document, at K = 1 after ten documents of the draw before.
    draws = [make_manifest(store, plan, repeat_run(chain(2), d, 3, 0)) for d in range(3)]
    assert [m.components[0].start for m in draws] == [0, 1000, 2000]
    assert [m.components[1].start - store.span("train", "b")[0] for m in draws] == [0, 1040, 2080]


def test_draws_of_a_component_that_is_used_up_go_on_at_its_beginning(
    make_store: StoreMaker,
) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 3)  # D = all of a's 17 windows
    manifest = make_manifest(store, plan, repeat_run(chain(1), 1, 2, 0))
    (a,) = manifest.components
    assert (a.start, a.stop, a.more_spans) == (850, 1700, ((0, 850),))
    assert a.overlap == 1
    third = make_manifest(store, plan, repeat_run(chain(3), 1, 2, 0))
    assert all(component.overlap == 0 for component in third.components)
    (line,) = describe_texts([manifest, third])
    assert "share up to 100% at K = 1; a lower mixture.total_tokens" in line
    assert not describe_texts([third])


def test_repeats_differ_from_each_other_and_not_from_what_they_repeat(
    make_store: StoreMaker,
) -> None:
    store = make_store(lengths_of({c: [100] * 60 for c in "abc"}))
    plan = design(store, 3, total_tokens=1800)
    for run in (chain(2), Run("", (2,), 3), Run("", (3,), 3, pseudo=True)):
        repeats = [
            make_manifest(store, plan, repeat_run(run, d, 2, s)) for d in (0, 1) for s in (0, 1)
        ]
        assert len({m.fingerprint for m in repeats}) == 4
        # No seed occurs in two draws.
        seeds = [(m.draw, m.seed_offset) for m in repeats]
        assert seeds == [(0, 0), (0, 1), (1, 100), (1, 101)]
        assert len({tuple(c.spans for c in m.components) for m in repeats}) == 2
        assert len({(m.k, m.total_tokens) for m in repeats}) == 1


def test_the_rate_of_the_chain_leaves_fingerprint_and_order_as_they_were(
    make_store: StoreMaker,
) -> None:
    store = make_store(lengths_of({c: [100] * 60 for c in "abc"}))
    plan = design(store, 3, total_tokens=1800)
    manifest = make_manifest(store, plan, chain(2))
    without = manifest.model_dump(mode="json", exclude={"rate", "search"})
    assert manifest.fingerprint == fingerprint(without)
    assert type(manifest).model_validate(without) == manifest
    slower = make_manifest(store, plan, replace(chain(2), rate=0.5))
    assert slower.rate == 0.5
    searching = make_manifest(store, plan, replace(chain(2), search=True))
    assert len({manifest.fingerprint, slower.fingerprint, searching.fingerprint}) == 3
    assert slower.order_key == searching.order_key == manifest.order_key


@pytest.mark.parametrize("within", [False, True])
def test_pseudo_components_are_the_text_of_k_1_in_the_same_draw(
    make_store: StoreMaker, within: bool
) -> None:
    store = make_store(lengths_of({"a": [110] * 50, "b": [115] * 70}))
    plan = design(store, 2, total_tokens=2000, within_documents=within)
    for k, (draw, draws) in product((2, 3, 7), ((0, 1), (1, 3), (2, 3), (3, 9))):
        base = make_manifest(store, plan, repeat_run(Run("", (2,), 1), draw, draws, 0))
        run = repeat_run(Run("", (2,), k, pseudo=True), draw, draws, 0)
        manifest = make_manifest(store, plan, run)
        texts = [tokens_of([component]) for component in manifest.components]
        assert not any(one & other for one, other in combinations(texts, 2))
        assert set.union(*texts) == tokens_of(base.components)
        assert manifest.total_windows == plan.total_windows
        sizes = [component.windows for component in manifest.components]
        assert max(sizes) - min(sizes) <= 1
        common = sum(c.overlap * c.windows for c in manifest.components) / manifest.total_windows
        assert common == pytest.approx(base.components[0].overlap, abs=0.02)
    large = plan.model_copy(update={"total_tokens": 9000})
    with pytest.raises(ErgokedroError, match=r"controls\.pseudo: b has 8,050 training tokens, few"):
        make_manifest(store, large, Run("", (2,), 2, pseudo=True))


@settings(max_examples=25, deadline=None)
@given(sizes=some_sizes, length=st.integers(40, 120))
def test_what_documents_leave_out_is_counted(sizes: Sizes, length: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store, plan = some_design(directory, sizes, window_length=length, within_documents=True)
        for k in range(1, len(sizes) + 1):
            for component in make_manifest(store, plan, chain(k)).components:
                ((first, stop),) = component.spans
                documents = store.documents("train", component.label).to_pandas()
                ends = np.minimum(documents.offset + documents.length, stop)
                sizes_used = (ends - np.maximum(documents.offset, first)).clip(lower=0)
                windows = sizes_used // length
                assert windows.sum() == component.windows
                assert component.left_out == (sizes_used - windows * length).sum()
                assert component.too_short == sizes_used[sizes_used < length].sum()


def test_what_documents_leave_out_is_told(make_store: StoreMaker) -> None:
    store = make_store(lengths_of({"a": [250, 40, 330], "b": [777, 90]}))
    plan = design(store, 2, within_documents=True)
    manifests = [make_manifest(store, plan, chain(k)) for k in (1, 2)]
    assert [m.total_windows for m in manifests] == [5, 5]
    (line,) = describe_texts(manifests)
    # K = 1: 50 + 40 + 30; K = 2: 50 of a's first document, none of b's 3 windows of one.
    assert "k1 120 of 620 tokens, 40 of them always; k2 50 of 550 tokens, 0 of them always" in line
    assert not describe_texts([make_manifest(store, design(store, 2), chain(1))])


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


def test_d_is_the_smallest_component_in_whole_windows(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 3)
    assert plan.total_tokens == 1700
    shares = [[c.windows for c in make_manifest(store, plan, chain(k)).components] for k in (2, 3)]
    assert shares == [[8, 9], [5, 6, 6]]
    assert (
        "D = 1,700 for every K; for K = 2, 3 the components' shares differ by one window"
    ) in describe(plan)
    assert design(store, 3, total_tokens=799).total_tokens == 700


def test_eleven_components_share_600_thousand_tokens(make_store: StoreMaker) -> None:
    store = make_store(lengths_of({f"c{i}": [300_000 + 1000 * i] * 2 for i in range(11)}))
    plan = design(store, 11, total_tokens=600_000)
    assert plan.total_tokens == 594_000
    for k in range(1, 12):
        manifest = make_manifest(store, plan, chain(k))
        assert manifest.total_tokens == 594_000
        assert manifest.uneven == (k in (7, 8))
        windows = [component.windows for component in manifest.components]
        assert max(windows) - min(windows) == int(k in (7, 8))


def test_a_budget_above_the_smallest_is_filled_up_by_the_others(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 3, total_tokens=4200)
    manifest = make_manifest(store, plan, chain(3))
    assert [c.windows for c in manifest.components] == [14, 14, 14]
    uneven = make_manifest(store, design(store, 3, total_tokens=4300), chain(3))
    assert [(c.windows, c.adjusted) for c in uneven.components] == [(14, 0), (14, 0), (15, 0)]
    assert uneven.uneven
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
    with pytest.raises(
        ErgokedroError,
        match=r"D would be 300 tokens, fewer than one window of 100 tokens for each of 4 comp.*"
        r"d is the smallest.*mixture\.top_n",
    ):
        design(store, 4, total_tokens=399)
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


def test_a_category_may_be_called_unknown(make_store: StoreMaker) -> None:
    store = make_store({("train", "a"): [400], ("train", "(unknown)"): [300]})
    store.meta["cleaning"] += [
        {"split": "train", "label": None, "status": "unknown_label", "documents": 2, "tokens": 9}
    ]
    table = token_accounting(store).query("split == 'train'").set_index("label")
    assert table.tokens.to_dict() == {"a": 400, "(unknown)": 300, "((unknown))": 0}
    assert table.documents_before.to_dict() == {"a": 1, "(unknown)": 1, "((unknown))": 2}
    assert table.share.sum() == pytest.approx(1)


def test_budgets_are_those_of_the_manifests(make_store: StoreMaker) -> None:
    store = make_store(lengths_of(SIZES))
    plan = design(store, 3, total_tokens=6000)
    table = tabulate_budgets(plan)
    assert table.columns.to_list() == [
        "k", "component", "windows", "tokens", "share", "adjusted", "uneven",
    ]  # fmt: skip
    assert table[table.k == 1].component.to_list() == ["(too small for D)"]
    assert table[table.k == 2].component.to_list() == ["(too small for D)"]
    last = table[table.k == 3]
    manifest = make_manifest(store, plan, chain(3))
    assert last.component.to_list() == manifest.labels
    assert last.windows.to_list() == [c.windows for c in manifest.components]
    assert last.adjusted.to_list() == [c.adjusted for c in manifest.components]
    assert last.tokens.sum() == plan.total_tokens
    assert last.share.sum() == pytest.approx(1)
    assert not table.uneven.any()
    rounded = tabulate_budgets(design(store, 3))
    assert len(rounded) == 6
    assert rounded.groupby("k").uneven.all().to_list() == [False, True, True]


def test_a_component_much_smaller_than_the_rest_is_told(make_store: StoreMaker) -> None:
    store = make_store(lengths_of({**SIZES, "d": [320]}))
    assert describe(design(store, 3)) == (
        "Components by training tokens: a 1,700, c 2,900, b 5,000. D = 1,700 for every K; "
        "for K = 2, 3 the components' shares differ by one window. "
        "Categories that are not used: 1 (d)"
    )
    store = make_store(lengths_of({"b": [5000], "d": [620]}))
    assert "D = 600 for every K; all that d has: without it" in describe(design(store, 2))


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
