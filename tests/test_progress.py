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

SUFFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


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


def test_a_pipe_gets_a_plain_line_a_tenth(
    piped: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(second / 10 for second in range(10_000))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with progress_bar("k3", total=1_000_000, unit="tokens") as bar:
        for step in range(1000):
            bar.update(1000, **({"loss": "2.61"} if step % 7 == 0 else {}))
    lines = piped.messages
    assert len(lines) == 10
    assert lines[0].startswith("k3: 100k/1M tokens, loss 2.61, ")
    assert lines[-1] == "k3: 1M/1M tokens, loss 2.61, 0:00:00 left"
    assert all(line.isprintable() for line in lines)
    assert capsys.readouterr() == ("", "")


def test_quick_work_is_told_once(piped: pytest.LogCaptureFixture) -> None:
    with progress_bar("k3 evaluation", total=1000, unit="windows") as bar:
        for _ in range(1000):
            bar.update(1)
    assert piped.messages == ["k3 evaluation: 1k/1k windows, 0:00:00 left"]


def test_a_pipe_hears_of_slow_work(
    piped: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(float(second) for second in range(0, 10_000, 25))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with progress_bar("store", total=1000, unit="documents") as bar:
        for _ in range(12):  # 25 s each, 1.2 % in all
            bar.update(1)
    lines = piped.messages
    assert [line.split(",")[0] for line in lines] == [
        f"store: {n}/1k documents" for n in (3, 6, 9, 12)
    ]
    assert lines[0].endswith(", 6:55:25 left")  # 75 s * 997 / 3


def test_work_that_goes_on_is_judged_by_what_is_new(
    piped: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(float(second) for second in range(0, 10_000, 25))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with progress_bar("k3", total=1000, unit="tokens", done=550) as bar:
        for _ in range(9):  # 25 s each
            bar.update(50)
    assert piped.messages[0] == "k3: 600/1k tokens, 0:03:20 left"  # 25 s * 400 / 50
    assert piped.messages[-1] == "k3: 1k/1k tokens, 0:00:00 left"


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


def test_log_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    with progress_bar("k3", total=10, unit="tokens") as bar:
        bar.update(5)
        print("a log line")
    assert "a log line\n" in terminal.getvalue()


@given(st.floats(0, 1e15))
def test_counts_have_three_digits(value: float) -> None:
    text = progress._count(value)
    suffix = text.lstrip("0123456789.e-+")
    number = text.removesuffix(suffix)
    assert "e+" not in number
    assert float(number) * SUFFIXES[suffix] == pytest.approx(value, rel=6e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (999_600, "1M"), (1_234_567, "1.23M"), (5e9, "5G")],
)
def test_counts_read_well(value: float, text: str) -> None:
    assert progress._count(value) == text
