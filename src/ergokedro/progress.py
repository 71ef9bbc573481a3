"""Progress of long work: a live bar on a terminal, sparse plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

# Without a terminal: a line at each tenth of the work, but none within so many seconds of the last
# unless all is done; and one after this many seconds of silence.
_LINES = 10
_PAUSE, _SILENCE = 5.0, 60.0


_stopped = threading.Event()


class Stopped(BaseException):
    """Raised in work whose result nobody waits for any more."""


def stop() -> None:
    """End all work that reports progress, in every thread, when it next does."""
    _stopped.set()


def is_stopped() -> bool:
    """Has :func:`stop` been called?"""
    return _stopped.is_set()


def resume() -> None:
    """Let work go on after :func:`stop`."""
    _stopped.clear()


class _Whole:
    """Work that several bars share, such as the tokens of all runs of a sweep."""

    def __init__(self, total: float, unit: str):
        self.unit = unit
        self._total = total
        self._done = self._new = 0.0
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def add(self, amount: float, *, new: bool = True) -> None:
        """Count work as done; what was done before says nothing of the speed."""
        with self._lock:
            self._done += amount
            self._new += amount if new else 0

    @property
    def left(self) -> str:
        """Time left, such as '0:02:10'; '?' before anything is done."""
        if not self._new:
            return "?"
        seconds = (time.monotonic() - self._start) * (self._total - self._done) / self._new
        return str(timedelta(seconds=max(0, round(seconds))))


_whole: _Whole | None = None


@contextmanager
def whole(total: float, unit: str) -> Iterator[None]:
    """In the block, bars that count `unit` also show the time left for `total` of them."""
    global _whole
    _whole = _Whole(total, unit)
    try:
        yield
    finally:
        _whole = None


class ProgressBar(Protocol):
    """What long work reports to."""

    def update(self, amount: float, **fields: str) -> None:
        """Count `amount` more units as done and show the fields, such as loss='2.61'.

        Raises
        ------
        Stopped
            After :func:`stop`.
        """


@contextmanager
def progress_bar(
    description: str, total: float, unit: str, done: float = 0
) -> Iterator[ProgressBar]:
    """Report progress of `total` units until the block ends.

    Parameters
    ----------
    description : name of the work, such as 'k3'.
    total : units of work.
    unit : their name in the plural, such as 'tokens'.
    done : units that were done before; the time left is judged by the others.
    """
    shared = _whole if _whole and _whole.unit == unit else None
    if shared:
        shared.add(done, new=False)
    if not sys.stderr.isatty() or logging.getLogger("ergokedro").level > logging.INFO:
        yield _PlainLines(description, total, unit, done, shared)
        return
    with _display() as progress:
        task = progress.add_task(description, total=total, completed=int(done), done="", shown="")
        try:
            yield _LiveBar(progress, task, unit, total, done, shared)
        finally:
            if len(progress.task_ids) > 1:  # the last one stays to be seen
                progress.remove_task(task)


_lock = threading.Lock()
_shared: Progress | None = None
_bars = 0


@contextmanager
def _display() -> Iterator[Progress]:
    """The one live display of the process, while any thread has a bar in it."""
    global _shared, _bars
    with _lock:
        if _shared is None:
            _shared = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[done]}"),
                TextColumn("{task.fields[shown]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                # Log lines on the same terminal go above the bar; those sent to a file stay there.
                redirect_stdout=sys.stdout.isatty(),
            )
            _shared.start()
        _bars += 1
        display = _shared
    try:
        yield display
    finally:
        with _lock:
            _bars -= 1
            if _bars == 0:
                display.stop()
                _shared = None


def _count(value: float) -> str:
    """1234567 becomes '1.23M'."""
    for size, suffix in ((1, ""), (1e3, "k"), (1e6, "M")):
        if value < 999.5 * size:
            return f"{value / size:.3g}{suffix}"
    return f"{value / 1e9:.3g}G" if value < 999.5e9 else f"{value / 1e9:.0f}G"


class _LiveBar:
    def __init__(
        self,
        progress: Progress,
        task: TaskID,
        unit: str,
        total: float,
        done: float,
        shared: _Whole | None,
    ):
        self._shared = shared
        self._progress = progress
        self._task = task
        self._unit = unit
        self._total = total
        self._done = done
        self._shown = ""

    def update(self, amount: float, **fields: str) -> None:
        _check_stopped()
        self._done += amount
        self._shown = _fields(fields) or self._shown
        shown = self._shown
        if self._shared:
            self._shared.add(amount)
            shown += f", all runs {self._shared.left}"
        text = f"{_count(self._done)}/{_count(self._total)} {self._unit}"
        self._progress.update(self._task, advance=amount, done=text, shown=shown)


class _PlainLines:
    def __init__(
        self, description: str, total: float, unit: str, done: float, shared: _Whole | None
    ):
        self._shared = shared
        self._description = description
        self._total = total
        self._unit = unit
        self._done = self._before = done
        self._lines = self._tenths()
        self._start = self._last = time.monotonic()
        self._shown = ""

    def update(self, amount: float, **fields: str) -> None:
        _check_stopped()
        if self._shared:
            self._shared.add(amount)
        self._done += amount
        self._shown = _fields(fields) or self._shown
        now = time.monotonic()
        tenths = self._tenths()
        due = _SILENCE if tenths == self._lines else 0.0 if tenths == _LINES else _PAUSE
        if now - self._last < due:
            return
        self._lines, self._last = tenths, now
        new = self._done - self._before
        left = (now - self._start) * (self._total - self._done) / new if new else 0
        log.info(
            "%s: %s/%s %s, %s%s left%s",
            self._description,
            _count(self._done),
            _count(self._total),
            self._unit,
            f"{self._shown}, " if self._shown else "",
            timedelta(seconds=round(left)),
            f", all runs {self._shared.left}" if self._shared else "",
        )

    def _tenths(self) -> int:
        return int(_LINES * self._done / self._total) if self._total else _LINES


def _check_stopped() -> None:
    if is_stopped():
        raise Stopped


def _fields(fields: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())
