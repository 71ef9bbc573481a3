"""Work in several processes: the same results, and a clear error where one of them is killed."""

from __future__ import annotations

import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ergokedro import progress
from ergokedro.data import block_encoder
from ergokedro.data.block_encoder import Block, BlockEncoder
from ergokedro.data.encoder import Encoded, reference_encoder
from ergokedro.data.processes import map_in_processes, map_in_thread, map_submitted
from ergokedro.data.tokenization import write_store
from ergokedro.errors import ErgokedroError
from many_blocks import files_of, plan_of_many_blocks


def test_a_thread_gives_results_in_order_while_the_next_task_is_read() -> None:
    read: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(5):
            read.append(number)
            yield number

    results = map_in_thread(lambda number: number * number, tasks())
    assert next(results) == 0
    assert read == [0, 1]
    assert list(results) == [1, 4, 9, 16]


def test_no_more_tasks_than_asked_for_run_at_the_same_time() -> None:
    running, lock = set(), threading.Lock()
    most = 0

    def work(number: int) -> int:
        nonlocal most
        with lock:
            running.add(number)
            most = max(most, len(running))
        threading.Event().wait(0.002)
        with lock:
            running.discard(number)
        return number

    with ThreadPoolExecutor(16) as pool:
        results = map_submitted(lambda number: pool.submit(work, number), range(40), 3)
        assert sorted(results) == list(range(40))
    assert most <= 3


def test_a_cancelled_command_does_not_wait_for_a_task() -> None:
    never: Future[int] = Future()
    progress.stop()
    try:
        with pytest.raises(progress.Stopped):
            list(map_submitted(lambda _: never, [1, 2], 1))
    finally:
        progress.resume()


def test_a_pickled_encoder_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = plan_of_many_blocks(tmp_path, monkeypatch).tokenizer
    sample, block = ["some text"] * 3, Block(7, 40, ["text <|endoftext|>", "", "a \U0001f389"])
    encode = BlockEncoder(tokenizer, sample)
    expected = encode(block)
    assert (expected.number, expected.documents, expected.characters) == (7, 3, 21)
    pickled = pickle.dumps(encode)
    shutil.rmtree(tokenizer.path)
    assert pickle.loads(pickled)(block) == expected

    def other(*arguments: object) -> object:
        def encode(texts: list[str]) -> Encoded:
            ids, lengths = reference_encoder(*arguments)(texts)  # type: ignore[arg-type]
            return ids[::-1], lengths

        return encode

    monkeypatch.setattr(block_encoder, "choose_encoder", lambda tokenizer, _: other(tokenizer))
    with pytest.raises(ErgokedroError, match="Install the same versions of tokenizers and fasto"):
        pickle.loads(pickled)


@pytest.mark.slow
def test_the_store_is_that_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of_many_blocks(tmp_path, monkeypatch)
    one = write_store(tmp_path / "one", plan)
    three = write_store(tmp_path / "three", replace(plan, processes=3))
    assert files_of(three) == files_of(one)


@pytest.mark.slow
def test_a_killed_process_is_one_clear_error() -> None:
    with pytest.raises(ErgokedroError, match=r"corpus\.processes = 2 was killed.*Lower"):
        list(map_in_processes(os._exit, [9, 9], 2))


@pytest.mark.slow
def test_an_error_in_a_process_is_that_error() -> None:
    with pytest.raises(ErgokedroError, match="no such thing"):
        list(map_in_processes(_refuse, range(5), 2))


def _refuse(number: int) -> None:
    raise ErgokedroError("no such thing")
