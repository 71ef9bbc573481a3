"""Evaluation windows: inside documents, at random places, affordable, always the same."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Lengths, StoreMaker
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import END_OF_TEXT, TokenizerDefinition, save_tokenizer, train_bpe
from ergokedro.design.accounting import token_accounting
from ergokedro.design.evaluation_windows import (
    _place_windows,
    affordable_windows,
    choose_evaluation_windows,
    describe_windows,
    windows_fingerprint,
)
from ergokedro.design.mixture import Design, design_mixtures
from ergokedro.design.token_bytes import bytes_per_token, predicted_bytes
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import EvaluationParameters, MixtureParameters

HELD_OUT = ("validation", "test")


def lengths_of(held_out: list[int], components: str = "abc") -> Lengths:
    train = {("train", c): [2000] for c in components}
    return {**train, **{(s, c): held_out for s in HELD_OUT for c in components}}


def design(store: TokenStore, **params: object) -> Design:
    mixture = MixtureParameters(top_n=len(store.labels), **params)
    return design_mixtures(store, token_accounting(store), mixture)


def test_windows_lie_inside_documents(make_store: StoreMaker) -> None:
    store = make_store(lengths_of([330, 150, 2500, 101, 100]))
    plan = design(store)
    windows = choose_evaluation_windows(store, plan, EvaluationParameters(windows_per_document=20))
    assert list(windows.columns) == ["split", "component", "document", "start", "document_offset"]
    assert windows.component.unique().tolist() == plan.components
    assert not windows.duplicated().any()
    index = store.index.to_pandas().set_index("document")
    document = index.loc[windows.document]
    assert (document.split.to_numpy() == windows.split.to_numpy()).all()
    first, last = document.offset.to_numpy(), (document.offset + document.length).to_numpy()
    assert (windows.start - windows.document_offset == first).all()
    assert (windows.document_offset >= 0).all()
    assert (windows.start + 100 <= last - 1).all()  # the end-of-text token stays outside
    gaps = windows.groupby(["split", "document"]).start.diff().dropna()
    assert (gaps >= 100).all()
    assert len(windows) == 2 * 3 * (2 + 1 + 20 + 1)
    one = choose_evaluation_windows(store, plan, EvaluationParameters(windows_per_document=1))
    assert len(one) == 2 * 3 * 4
    few = choose_evaluation_windows(store, plan, EvaluationParameters(max_documents=2))
    assert few.groupby(["split", "component"]).document.nunique().eq(2).all()
    text = describe_windows(windows, store, plan)
    assert text.startswith("Evaluation: 144 windows of 24 of the 30 held-out documents")


def documents_of(room: int, windows: int, contents: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "document": np.arange(len(contents)),
            "offset": 10_000 * np.arange(len(contents)),
            "room": room,
            "windows": windows,
            "content_hash": contents,
        }
    )


@given(
    room=st.integers(1, 5000),
    most=st.integers(1, 30),
    seed=st.integers(0, 2**32),
    content=st.text(min_size=1, max_size=8),
)
def test_windows_never_overlap(room: int, most: int, seed: int, content: str) -> None:
    fitting = max(1, room // 100)
    starts = _place_windows(documents_of(room, fitting, [content]), most, seed).document_offset
    assert len(starts) == min(most, fitting)
    assert 0 <= starts.min() <= starts.max() < room
    gaps = np.diff(starts)
    assert (gaps >= 100).all()
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1  # evenly spaced


@pytest.mark.parametrize(("room", "most"), [(7, 1), (450, 20), (450, 2), (31, 1), (100, 1)])
def test_every_start_is_equally_likely(room: int, most: int) -> None:
    contents = [f"document {i}" for i in range(4000)]
    placed = _place_windows(documents_of(room, max(1, room // 100), contents), most, 0)
    counts = np.bincount(placed.document_offset, minlength=room)
    expected = len(placed) / room
    chi = ((counts - expected) ** 2 / expected).sum()
    assert chi < (room - 1) + 4 * np.sqrt(2 * (room - 1))  # about p = 0.0001


def test_the_phases_cover_all_of_a_document_exactly() -> None:
    """Over all phases every start occurs once for each window of the document."""
    room, n = 457, 4
    starts = np.array(
        [(window * room + phase) // n for phase in range(room) for window in range(n)]
    )
    assert (np.bincount(starts, minlength=room) == n).all()


def test_windows_depend_on_the_document_and_the_seed_alone(make_store: StoreMaker) -> None:
    store = make_store(lengths_of([530, 250, 1400] * 4))
    plan = design(store)
    windows = choose_evaluation_windows(store, plan, EvaluationParameters())
    again = choose_evaluation_windows(store, plan, EvaluationParameters())
    pd.testing.assert_frame_equal(windows, again)
    assert windows_fingerprint(windows) == windows_fingerprint(again)
    other = choose_evaluation_windows(store, plan, EvaluationParameters(seed=1))
    assert windows_fingerprint(windows) != windows_fingerprint(other)
    # Fewer components, another budget and fewer documents leave the windows of the others.
    part = design_mixtures(
        store, token_accounting(store), MixtureParameters(components=["b"], total_tokens=500)
    )
    fewer = choose_evaluation_windows(store, part, EvaluationParameters(max_documents=3))
    common = windows.merge(fewer, how="right", indicator=True)
    assert (common._merge == "both").all()
    assert (windows.start - windows.start[0]).head(6).tolist() == GOLDEN


GOLDEN = [0, 107, 215, 322, 487, 766]


@pytest.mark.parametrize(
    ("counts", "most", "training_windows", "expected"),
    [
        ([[3, 3], [3, 3]], 20, 40, (3, None)),  # 12 windows are a tenth of 40, three to one
        ([[3, 3], [3, 3]], 20, 39, (2, None)),
        ([[3, 3], [3, 3]], 2, 40, (2, None)),
        ([[9, 1], [1, 9]], 20, 40, (5, None)),
        ([[5] * 100, [5] * 300], 20, 10 * 400, (3, None)),
        ([[5] * 100, [5] * 300], 20, 400 * 10 // 3 + 1, (1, None)),
        ([[5] * 100, [5] * 300], 20, 1000, (1, 200)),  # 100 + 200 of 300 affordable windows
        ([[5] * 100, [5] * 300], 20, 500, (1, 75)),
        ([[5] * 100, [5] * 300], 20, 10, (1, 60)),
        ([[5] * 40, [5] * 30], 20, 10, (1, None)),
    ],
)
def test_evaluation_costs_at_most_a_tenth_of_training(
    counts: list[list[int]], most: int, training_windows: int, expected: tuple[int, int | None]
) -> None:
    arrays = [np.array(cell) for cell in counts]
    assert affordable_windows(arrays, most, training_windows) == expected


@settings(deadline=None)
@given(
    counts=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=90), min_size=1, max_size=5),
    most=st.integers(1, 25),
    budget=st.integers(0, 5000),
)
def test_the_limit_is_kept_and_used(counts: list[list[int]], most: int, budget: int) -> None:
    arrays = [np.array(cell) for cell in counts]

    def cost(per_document: int, documents: int | None) -> int:
        return sum(int(np.minimum(cell[:documents], per_document).sum()) for cell in arrays)

    per_document, documents = affordable_windows(arrays, most, budget)
    affordable = int(0.1 * 3 * budget)
    assert 1 <= per_document <= most
    if documents is None:
        least = per_document == 1 and max(map(len, counts)) <= 60
        assert cost(per_document, None) <= affordable or least
        more = min(most, per_document + 1)
        used = cost(more, None) > affordable or cost(per_document, None) == cost(most, None)
        assert used
    else:
        assert per_document == 1
        assert documents >= 60
        assert cost(1, documents) <= affordable or documents == 60
        assert cost(1, documents + 1) > affordable


def test_the_limit_applies_unless_documents_are_set(make_store: StoreMaker) -> None:
    store = make_store(lengths_of([1200] * 70, "ab"))
    plan = design(store)
    free = choose_evaluation_windows(store, plan, EvaluationParameters())
    assert len(free) == 4 * 70 * 11
    limited = choose_evaluation_windows(store, plan, EvaluationParameters(), 100_000)
    assert len(limited) == 4 * 70
    fewest = choose_evaluation_windows(store, plan, EvaluationParameters(), 2000)
    assert len(fewest) == 4 * 60
    chosen = EvaluationParameters(max_documents=65, windows_per_document=2)
    assert len(choose_evaluation_windows(store, plan, chosen, 2000)) == 4 * 65 * 2


def test_a_component_without_heldout_text_is_an_error(make_store: StoreMaker) -> None:
    store = make_store({**lengths_of([260, 150]), ("test", "a"): [100]})
    with pytest.raises(ErgokedroError, match=r"'a' has no test document of 100 tokens"):
        choose_evaluation_windows(store, design(store), EvaluationParameters())


def test_few_heldout_documents_are_told(
    make_store: StoreMaker, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store({**lengths_of([150] * 20), ("test", "a"): [150] * 19})
    choose_evaluation_windows(store, design(store), EvaluationParameters())
    (message,) = caplog.messages
    assert message.startswith("Few test documents: a 19. ")


TEXTS = ["naïve café — 東京", "plain words, plain words", "tabs\tand  spaces <|endoftext|>", "ﬁ ∑"]


@pytest.fixture(scope="module", params=[False, True])
def tokenizer(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    """A byte-level BPE, without and with tokens added to its vocabulary."""
    from tokenizers import Tokenizer as Backend

    backend = Backend.from_str(train_bpe(TEXTS * 9, 400))
    if request.param:
        backend.add_tokens(["  ", "東京"])
    path: Path = tmp_path_factory.mktemp("tokenizer")
    return save_tokenizer(path / "t", TokenizerDefinition(backend.to_str(), END_OF_TEXT, "trained"))


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_have_the_bytes_of_their_text(tokenizer: Any, text: str) -> None:
    (ids,) = tokenizer.encode([text])
    sizes = bytes_per_token(tokenizer)
    assert sizes is not None
    assert sizes[ids].sum() == len(tokenizer.decode(ids).encode())
    # The tokenizer puts a space before a text's first word.
    assert len(text.encode()) <= sizes[ids].sum()
    store: Any = SimpleNamespace(tokens=np.tile(ids, 9))
    starts = np.array([0, 2, 5])
    found = predicted_bytes(store, tokenizer, starts, 4)
    expected = [sizes[store.tokens[start + 1 : start + 4]].sum() for start in starts]
    assert found.tolist() == expected


def test_other_tokenizers_decode_the_windows() -> None:
    words = ["é", "bc", "東京", "d"]
    tokenizer: Any = SimpleNamespace(
        backend=SimpleNamespace(decoder=None),
        decode=lambda ids: " ".join(words[i] for i in ids),
    )
    assert bytes_per_token(tokenizer) is None
    store: Any = SimpleNamespace(tokens=np.array([0, 1, 2, 3, 0], dtype=np.uint16))
    found = predicted_bytes(store, tokenizer, np.array([0, 2]), 3)
    assert found.tolist() == [len(" bc 東京".encode()), len(" d é".encode())]
