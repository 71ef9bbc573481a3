"""Progress of long work: live bars on a terminal, sparse plain lines elsewhere.

A process whose work another one waits for sends its progress there (:func:`forward`), where it is
shown like that process's own (:class:`Reports`).
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.filesize import pick_unit_and_suffix
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

log = logging.getLogger(__name__)

# Without a terminal: one line for each tenth of the work, at least 5 seconds apart unless all is
# done, and one line after 60 seconds without any.
_LINES = 10
_PAUSE, _SILENCE = 5.0, 60.0

_stopped, _noticed = threading.Event(), threading.Event()
# The one display of the process, the number of its users, and the task that all runs share.
_lock = threading.Lock()
_shared: Progress | None = None
_users = 0
_whole: tuple[str, TaskID] | None = None


@dataclass(frozen=True)
class Began:
    """Report: work of this description begins; the rest as in :func:`progress_bar`."""

    description: str
    total: float
    unit: str
    done: float


@dataclass(frozen=True)
class Advanced:
    """Report: `amount` units of work are done."""

    description: str
    amount: float
    fields: dict[str, str]


@dataclass(frozen=True)
class Ended:
    """Report: the work has ended, in whatever way."""

    description: str


Report = Began | Advanced | Ended
# Where this process's progress is sent, if another process shows it.
_forward: Callable[[Report], None] | None = None


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


def notice() -> None:
    """Say that work has noticed :func:`stop` and may be saving its state."""
    _noticed.set()


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


def end_if_stopped() -> None:
    """Raise Stopped after :func:`stop`."""
    if is_stopped():
        notice()
        raise Stopped


@contextmanager
def whole(total: float, unit: str, done: float = 0) -> Iterator[None]:
    """Show the progress of all runs together: in the block, bars that count `unit` add to it.

    Parameters
    ----------
    total : units of all runs.
    unit : their name in the plural, such as 'tokens'.
    done : units that were done before the block.
    """
    global _whole
    with _display() as display:
        task = display.add_task("all runs", total=total, completed=int(done), text="", unit=unit)
        _whole = unit, task
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
    if _forward is not None:
        with _forwarded(description, total, unit, done) as bar:
            yield bar
        return
    with _display() as display:
        task = display.add_task(description, total=total, completed=int(done), text="", unit=unit)
        try:
            yield _Bar(display, task, unit)
        finally:
            if len(display.task_ids) > 1:  # the last one remains visible
                display.remove_task(task)


def forward(send: Callable[[Report], None] | None) -> None:
    """Send all further progress of this process instead of showing it; None: show it again."""
    global _forward
    _forward = send


@contextmanager
def _forwarded(description: str, total: float, unit: str, done: float) -> Iterator[ProgressBar]:
    send = _forward
    assert send is not None
    send(Began(description, total, unit, done))
    try:
        yield _ForwardedBar(description, send)
    finally:
        send(Ended(description))


class _ForwardedBar:
    """Reports to another process."""

    def __init__(self, description: str, send: Callable[[Report], None]):
        self._description, self._send = description, send

    def update(self, amount: float, **fields: str) -> None:
        end_if_stopped()
        self._send(Advanced(self._description, amount, fields))


class Reports:
    """Shows the progress that other processes report; work that begins again replaces itself."""

    def __init__(self) -> None:
        self._bars: dict[str, tuple[ExitStack, ProgressBar]] = {}

    def show(self, report: Report) -> None:
        """Show one report.

        Raises
        ------
        Stopped
            After :func:`stop`.
        """
        match report:
            case Began(description, total, unit, done):
                if description in self._bars and isinstance(
                    bar := self._bars[description][1], _Bar
                ):
                    bar.discard(done)
                self.end(description)
                stack = ExitStack()
                bar = stack.enter_context(progress_bar(description, total, unit, done))
                self._bars[description] = stack, bar
            case Advanced(description, amount, fields) if description in self._bars:
                self._bars[description][1].update(amount, **fields)
            case Ended(description):
                self.end(description)

    def end(self, description: str) -> None:
        """Remove the bar of this work, if there is one."""
        if description in self._bars:
            self._bars.pop(description)[0].close()

    def close(self) -> None:
        """Remove all bars."""
        for description in list(self._bars):
            self.end(description)


class _Bar:
    """A task of the display; without a terminal, lines in the log."""

    def __init__(self, display: Progress, task: TaskID, unit: str):
        self._display, self._unit, self._fields = display, unit, ""
        self._task = _find(display, task)
        self._whole = _find(display, _whole[1]) if _whole and _whole[0] == unit else None
        self._logged, self._last = self._tenths(), time.monotonic()

    def update(self, amount: float, **fields: str) -> None:
        end_if_stopped()
        if fields:
            self._fields = ", ".join(f"{name} {value}" for name, value in fields.items())
        if self._whole:
            self._display.advance(self._whole.id, amount)
        total = _count(self._task.total or 0)
        done = _count(self._task.completed + amount)
        text = f"{done}/{total} {self._unit}, {self._fields}".removesuffix(", ")
        self._display.update(self._task.id, advance=amount, text=text)
        if self._display.disable:
            self._log()

    def discard(self, kept: float) -> None:
        """Take back what was counted for all runs: the work begins again with `kept` units."""
        if self._whole:
            completed = self._whole.completed - self._task.completed + kept
            self._display.update(self._whole.id, completed=completed)

    def _log(self) -> None:
        tenths, now = self._tenths(), time.monotonic()
        pause = _SILENCE if tenths == self._logged else 0.0 if tenths == _LINES else _PAUSE
        if now - self._last >= pause:
            self._logged, self._last = tenths, now
            all_runs = f", all runs {_left(self._whole)}" if self._whole else ""
            name, text = self._task.description, self._task.fields["text"]
            log.info("%s: %s, %s left%s", name, text, _left(self._task), all_runs)

    def _tenths(self) -> int:
        return int(_LINES * self._task.completed / self._task.total) if self._task.total else _LINES


@contextmanager
def _display() -> Iterator[Progress]:
    """The display that all threads share; it does nothing where no terminal shows it."""
    global _shared, _users
    with _lock:
        if _shared is None:
            _shared = _make_display()
            _shared.start()
        _users += 1
        display = _shared
    try:
        yield display
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _shared = None
                with suppress(OSError):  # of a terminal that was closed
                    display.stop()


class _TimeLeft(ProgressColumn):
    """The time left, as in the log."""

    max_refresh = 0.5  # seconds between changes

    def render(self, task: Task) -> Text:
        return Text(_left(task), style="progress.remaining")


def _make_display() -> Progress:
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        _TimeLeft(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty() or logging.getLogger("ergokedro").level > logging.INFO,
        # Log lines on the same terminal go above the bars; a file gets them as they are.
        redirect_stdout=sys.stdout.isatty(),
        get_time=time.monotonic,
        speed_estimate_period=3600,
    )


def _find(display: Progress, task: TaskID) -> Task:
    return next(known for known in display.tasks if known.id == task)


def _left(task: Task) -> str:
    """Time left by the speed of this process's updates, such as '0:02:10'; '?' before two of them.

    All runs take at least as long as the longest of those under way, which no other can help.
    """
    seconds = task.time_remaining
    if seconds is None:
        return "?"
    if _whole and _shared and task.id == _whole[1]:
        same = (known for known in _shared.tasks if known.fields["unit"] == _whole[0])
        seconds = max(known.time_remaining or 0 for known in same)
    return str(timedelta(seconds=round(seconds)))


def _count(value: float) -> str:
    """1234567 becomes '1.235M'."""
    size, suffix = pick_unit_and_suffix(int(value), ["", "k", "M", "G", "T"], 1000)
    return f"{value / size:.4g}{suffix}"
