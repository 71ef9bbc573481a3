"""Log lines on a terminal and in a pipe."""

from __future__ import annotations

import logging
import re
import sys

import pytest
from rich.logging import RichHandler

from ergokedro.runtime.console import (
    one_line_per_message,
    plain_lines_without_terminal,
    where_results_are,
)

LONG = "a message of more than eighty characters, which rich would fold " * 3


@pytest.fixture
def rich_root() -> logging.Logger:
    """The root logger as Kedro sets it up; undone by `_logging_as_it_was` and below."""
    root = logging.getLogger()
    root.addHandler(RichHandler())
    return root


@pytest.mark.parametrize("terminal", [True, False])
def test_one_plain_line_a_message_unless_on_a_terminal(
    rich_root: logging.Logger,
    terminal: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = list(rich_root.handlers)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    plain_lines_without_terminal()
    try:
        assert (rich_root.handlers == before) == terminal
        rich_root.warning(LONG)
    finally:
        rich_root.handlers[:] = [h for h in rich_root.handlers if h in before]
    printed = capsys.readouterr().out
    plain = re.fullmatch(r"\d\d:\d\d:\d\d WARNING (.*)\n", printed)
    assert (plain is not None and plain[1] == LONG) == (not terminal)


def test_a_label_with_a_line_end_breaks_no_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [RichHandler()])
    plain_lines_without_terminal()
    one_line_per_message()
    log = logging.getLogger("ergokedro.design")
    log.warning("Few test documents: %s", "two\nlines 3, bell\a 4, Grüße 5")
    logging.getLogger("elsewhere").warning("a\nb")
    first, *others = capsys.readouterr().out.splitlines()
    assert first.endswith(r"Few test documents: two\nlines 3, bell\x07 4, Grüße 5")
    assert len(others) == 2  # what others log stays as it is


def test_the_report_and_its_folder_are_named_and_no_other_file() -> None:
    files = ["/d/a/budgets.csv", "/d/a/k.png", "/d/a/k.svg", "/d/a/report.html", "/d/a/report.md"]
    assert where_results_are(files) == ["/d/a/report.html", "/d/a (figures and tables)"]
    assert where_results_are(["s3://b/a/k.png"]) == ["s3://b/a (figures and tables)"]
    assert where_results_are(["/d/a/near_duplicates.csv"]) == []
