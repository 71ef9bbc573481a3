"""Log lines and results on standard output, in a terminal and elsewhere."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable
from typing import TextIO

from rich.logging import RichHandler

from ergokedro.reporting.text import visible


class _PlainHandler(logging.StreamHandler[TextIO]):
    """Writes plain lines to the present `sys.stdout`, which notebooks and tests replace."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout


def escape_unknown_characters() -> None:
    """Let standard output escape what its encoding lacks, as \\xfc for ü, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def plain_lines_without_terminal() -> None:
    """Replace rich's log handlers, which fold lines at 80 columns, in a pipe or a file."""
    if sys.stdout.isatty():
        return
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, RichHandler)]:
        root.removeHandler(handler)
        root.addHandler(_PlainHandler())


def one_line_per_message() -> None:
    """Let log handlers escape line ends and control codes, as labels and file names may hold."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_visible)


def _visible(record: logging.LogRecord) -> bool:
    """A log filter that escapes such characters in the project's own messages."""
    if record.name.startswith("ergokedro"):
        record.msg, record.args = visible(record.getMessage()), None
    return True


def where_results_are(files: Iterable[str]) -> list[str]:
    """A line for the report and one for the folder of all figures and tables.

    Parameters
    ----------
    files : paths or URLs of what was written; without figure or report among them, no line.
    """
    shown = [file for file in files if file.endswith((".html", ".png"))]
    folders = sorted({file.rpartition("/")[0] for file in shown})
    reports = [file for file in shown if file.endswith(".html")]
    return [*reports, *(f"{folder} (figures and tables)" for folder in folders)]
