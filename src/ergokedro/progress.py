"""Progress of long work: live bars on a terminal, sparse plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.filesize import pick_unit_and_suffix
from rich.progress import BarColumn, Progress, TextColumn

log = logging.getLogger(__name__)

# Without a terminal: one line for each tenth of the work, at least 5 seconds apart unless all is
# done, and one line after 60 seconds without any.
_LINES = 10
_PAUSE, _SILENCE = 5.0, 60.0

_stopped, _noticed = threading.Event(), threading.Event()
_lock = threading.Lock()  # of everything that threads share below
_display: Progress | None = None
_whole: tuple[str, _Estimate] | None = None


class Stopped(BaseException):
    """The run was cancelled."""


def stop() -> None:
    """Cancel all work that reports progress, in every thread, at its next report."""
    _stopped.set()


def is_stopped() -> bool:
    """Whether :func:`stop` was called."""
    return _stopped.is_set()


def is_noticed() -> bool:
    """Whether some work has ended because of :func:`stop`, and may be saving its state."""
    return _noticed.is_set()


def resume() -> None:
    """Allow work again after :func:`stop`."""
    _stopped.clear()
    _noticed.clear()


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
def whole(total: float, unit: str) -> Iterator[None]:
    """In the block, bars that count `unit` also show the time left for `total` of them."""
    global _whole
    _whole = unit, _Estimate(total, 0)
    try:
        yield
    finally:
        _whole = None


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
    done : units that were done before; the time left is estimated from the others.
    """
    bar = _Bar(total, unit, done)
    if not sys.stderr.isatty() or logging.getLogger("ergokedro").level > logging.INFO:
        bar.show = _lines(description, bar)
        yield bar
        return
    with _task(description, bar):
        yield bar


class _Estimate:
    """How much of some work is done, and the time left as estimated since this was made."""

    def __init__(self, total: float, done: float):
        self.total, self.done = total, done
        self._new, self._start = 0.0, time.monotonic()

    def add(self, amount: float, *, new: bool = True) -> None:
        """Count work as done; work of an earlier process says nothing about the speed."""
        with _lock:
            self.done += amount
            self._new += amount if new else 0

    @property
    def left(self) -> str:
        """Such as '0:02:10'; '?' before anything is done."""
        if not self._new:
            return "?"
        seconds = (time.monotonic() - self._start) * (self.total - self.done) / self._new
        return str(timedelta(seconds=max(0, round(seconds))))


class _Bar:
    """Counts, and calls `show` after every report."""

    def __init__(self, total: float, unit: str, done: float):
        self.own = _Estimate(total, done)
        self.show: Callable[[], None] = lambda: None
        self._unit, self._fields = unit, ""
        self._whole = _whole[1] if _whole and _whole[0] == unit else None
        if self._whole:
            self._whole.add(done, new=False)

    def update(self, amount: float, **fields: str) -> None:
        if is_stopped():
            _noticed.set()
            raise Stopped
        self.own.add(amount)
        if self._whole:
            self._whole.add(amount)
        if fields:
            self._fields = ", ".join(f"{name} {value}" for name, value in fields.items()) + ", "
        self.show()

    def __str__(self) -> str:
        counts = f"{_count(self.own.done)}/{_count(self.own.total)} {self._unit}"
        all_runs = f", all runs {self._whole.left}" if self._whole else ""
        return f"{counts}, {self._fields}{self.own.left} left{all_runs}"


def _lines(description: str, bar: _Bar) -> Callable[[], None]:
    """Log the bar now and then."""

    def tenths() -> int:
        return int(_LINES * bar.own.done / bar.own.total) if bar.own.total else _LINES

    logged, last = tenths(), time.monotonic()

    def show() -> None:
        nonlocal logged, last
        new, now = tenths(), time.monotonic()
        pause = _SILENCE if new == logged else 0.0 if new == _LINES else _PAUSE
        if now - last >= pause:
            logged, last = new, now
            log.info("%s: %s", description, str(bar))

    return show


@contextmanager
def _task(description: str, bar: _Bar) -> Iterator[None]:
    """Show the bar in the one live display of the process, which all threads share."""
    global _display
    with _lock:
        if _display is None:
            _display = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[text]}", markup=False),
                console=Console(stderr=True),
                # Log lines on the same terminal go above the bars; a file gets them as they are.
                redirect_stdout=sys.stdout.isatty(),
            )
            _display.start()
        display = _display
        task = display.add_task(description, total=bar.own.total, text="")
    bar.show = lambda: display.update(task, completed=bar.own.done, text=str(bar))
    try:
        yield
    finally:
        with _lock, suppress(OSError):  # of a terminal that was closed
            if len(display.task_ids) > 1:
                display.remove_task(task)
            else:  # the last bar remains visible
                _display = None
                display.stop()


def _count(value: float) -> str:
    """1234567 becomes '1.235M'."""
    size, suffix = pick_unit_and_suffix(int(value), ["", "k", "M", "G", "T"], 1000)
    return f"{value / size:.4g}{suffix}"
