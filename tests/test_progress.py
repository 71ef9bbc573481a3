"""Progress: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import io
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ergokedro import progress
from ergokedro.progress import progress_bar

SUFFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture
def piped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """The log of work without a terminal."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    caplog.set_level(logging.INFO, "ergokedro")
    return caplog


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set by the test."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_pipe_gets_a_plain_line_per_tenth(
    piped: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with progress_bar("k3", total=1_000_000, unit="tokens") as bar:
        for step in range(1000):
            clock[0] += 0.1
            bar.update(1000, **({"loss": "2.61"} if step % 7 == 0 else {}))
    lines = piped.messages
    assert len(lines) == 10
    assert lines[0] == "k3: 100k/1M tokens, loss 2.61, 0:01:30 left"
    assert lines[-1] == "k3: 1M/1M tokens, loss 2.61, 0:00:00 left"
    assert all(line.isprintable() for line in lines)
    assert capsys.readouterr() == ("", "")


def test_quick_work_is_told_once(piped: pytest.LogCaptureFixture, clock: list[float]) -> None:
    with progress_bar("k3 evaluation", total=1000, unit="windows") as bar:
        for _ in range(1000):
            bar.update(1)
    assert piped.messages == ["k3 evaluation: 1k/1k windows, 0:00:00 left"]


def test_a_pipe_hears_of_slow_work(piped: pytest.LogCaptureFixture, clock: list[float]) -> None:
    with progress_bar("store", total=1000, unit="documents") as bar:
        for _ in range(12):  # 1.2 % in all
            clock[0] += 25
            bar.update(1)
    assert [line.split(",")[0] for line in piped.messages] == [
        f"store: {n}/1k documents" for n in (3, 6, 9, 12)
    ]
    assert piped.messages[0].endswith(", 6:55:25 left")  # 75 s * 997 / 3


def test_resumed_work_is_judged_by_what_is_new(
    piped: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    with progress_bar("k3", total=1000, unit="tokens", done=550) as bar:
        for _ in range(9):
            clock[0] += 25
            bar.update(50)
    assert piped.messages[0] == "k3: 600/1k tokens, ? left"
    assert piped.messages[1] == "k3: 700/1k tokens, 0:02:30 left"  # 25 s * 300 / 50
    assert piped.messages[-1] == "k3: 1k/1k tokens, 0:00:00 left"


def test_the_time_left_for_all_runs(piped: pytest.LogCaptureFixture, clock: list[float]) -> None:
    """A run and a resumed one side by side, and a third to come."""
    all_runs = progress.whole(3000, "tokens", done=500)
    with all_runs, progress_bar("k1", 1000, "tokens") as first:
        with progress_bar("k2", 1000, "tokens", done=500) as second:
            for _ in range(2):
                clock[0] += 10
                first.update(250)
                second.update(100)
        with progress_bar("store", 10, "documents") as other:  # counts something else
            clock[0] += 10
            other.update(10)
    assert piped.messages == [
        "k1: 250/1k tokens, ? left, all runs ?",
        "k2: 600/1k tokens, ? left, all runs ?",  # at the same moment
        "k1: 500/1k tokens, 0:00:20 left, all runs 0:00:55",  # 10 s * 1900 / 350
        "k2: 700/1k tokens, 0:00:30 left, all runs 0:00:40",  # 10 s * 1800 / 450
        "store: 10/10 documents, 0:00:00 left",
    ]


def test_finished_and_resumed_runs_leave_the_measured_speed_as_it_is(
    piped: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    """Of four runs one is finished, and one has 100 tokens left; what they did is not left."""
    with progress.whole(4000, "tokens", done=1900):
        for name, done in (("k1", 0), ("finished", 1000), ("resumed", 900)):
            with progress_bar(name, 1000, "tokens", done=done) as bar:
                for _ in range((1000 - done) // 100):
                    clock[0] += 10
                    bar.update(100)
    assert piped.messages[4] == "k1: 500/1k tokens, 0:00:50 left, all runs 0:02:40"  # 1600 tokens
    assert piped.messages[-1] == "resumed: 1k/1k tokens, 0:00:00 left, all runs 0:01:40"


def test_the_time_left_is_that_of_a_busy_machine(
    piped: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    """The speed of what was done while the machine was busy, for runs not yet started, too."""
    with progress.whole(3000, "tokens"), progress_bar("k1", 1000, "tokens") as bar:
        for seconds in (5, 5, 50, 50, 50):
            clock[0] += seconds
            bar.update(100)
    assert piped.messages[1] == "k1: 200/1k tokens, 0:00:40 left, all runs 0:02:20"
    # 400 tokens in 155 s
    assert piped.messages[4] == "k1: 500/1k tokens, 0:03:14 left, all runs 0:16:09"


def test_all_runs_take_as_long_as_the_longest_of_them(
    piped: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    """The speed of two runs side by side is not that of the last one."""
    with progress.whole(2000, "tokens"), progress_bar("k1", 1000, "tokens") as last:
        with progress_bar("k2", 1000, "tokens") as first:
            for _ in range(2):
                clock[0] += 10
                last.update(100)
                first.update(500)
        clock[0] += 10
        last.update(100)
    assert piped.messages[-1] == "k1: 300/1k tokens, 0:01:10 left, all runs 0:01:10"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, piped = Terminal(), io.StringIO()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", piped)
    with progress_bar("k3", total=2000, unit="tokens") as bar:
        bar.update(500, loss="2.61")
        bar.update(500)
        print("to a file")
    assert piped.getvalue() == "to a file\n"
    shown = terminal.getvalue()
    for text in ("k3", "1k/2k tokens", "loss 2.61"):
        assert text in shown


def test_several_bars_share_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("k1", total=10, unit="tokens") as first:
        with progress_bar("k2", total=10, unit="tokens") as second:
            second.update(10)
        first.update(5)
        assert progress._shared is not None
        assert [task.description for task in progress._shared.tasks] == ["k1"]
    assert progress._shared is None
    assert "5/10 tokens" in terminal.getvalue()


def test_a_terminal_that_was_closed_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_bar("k1", total=10, unit="tokens") as bar:
        bar.update(5)

        def closed(*_: object) -> int:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(terminal, "write", closed)
        bar.update(5)
    assert progress._shared is None


def test_log_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    with progress_bar("k3", total=10, unit="tokens") as bar:
        bar.update(5)
        print("a log line")
    assert "a log line\n" in terminal.getvalue()


@given(st.floats(0, 1e15))
def test_counts_have_four_digits(value: float) -> None:
    text = progress._count(value)
    suffix = text.lstrip("0123456789.e-+")
    number = text.removesuffix(suffix)
    assert "e+" not in number
    assert float(number) * SUFFIXES[suffix] == pytest.approx(value, rel=6e-4, abs=1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (999_960, "1000k"), (1_234_567, "1.235M"), (5e9, "5G")],
)
def test_counts_read_well(value: float, text: str) -> None:
    assert progress._count(value) == text


def test_work_that_begins_again_in_another_process_counts_once(
    piped: pytest.LogCaptureFixture, clock: list[float]
) -> None:
    reports = progress.Reports()
    with progress.whole(200, "tokens"):
        assert progress._whole is not None
        with progress._display() as display:
            task = progress._find(display, progress._whole[1])
            reports.show(progress.Began("k1", 100, "tokens", 0))
            reports.show(progress.Advanced("k1", 60, {}))
            reports.show(progress.Began("k1", 100, "tokens", 40))  # from a checkpoint
            reports.show(progress.Advanced("k1", 60, {"loss": "2.5"}))
            reports.show(progress.Ended("k1"))
            reports.show(progress.Advanced("k1", 1, {}))  # of a process that has not ended yet
            assert task.completed == 100
    assert "k1: 100/100 tokens, loss 2.5" in piped.text
