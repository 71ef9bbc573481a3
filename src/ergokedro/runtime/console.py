"""What log lines look like where no terminal shows them."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from rich.logging import RichHandler

from ergokedro.errors import ErgokedroError


class _PlainHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever standard output is at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stdout


def plain_lines_without_terminal() -> None:
    """In a pipe or a file, one line each: rich would fold them at 80 columns."""
    if sys.stdout.isatty():
        return
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, RichHandler)]:
        root.removeHandler(handler)
        root.addHandler(_PlainHandler())


def told_once(record: logging.LogRecord) -> bool:
    """A filter for Kedro's nodes: a mistake of the user's is told when the command ends."""
    return not isinstance(sys.exc_info()[1], ErgokedroError)
