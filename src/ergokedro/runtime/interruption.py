"""Ctrl-C, SIGTERM and SIGHUP: work ends soon, where it can be saved, and can be resumed."""

from __future__ import annotations

import _thread
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from ergokedro import progress

# Work that reports no progress during this time is interrupted where it stands.
_GRACE_SECONDS = 3.5
# A closed terminal sends SIGHUP; Windows has no such signal.
_SIGNALS = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
# Names of programs and packages -> what starts them.
_COMMANDS = {"kedro": ["kedro"], "ergokedro": ["python", "-m", "ergokedro"]}


@contextmanager
def interruptible() -> Iterator[None]:
    """The first signal asks work to stop at its next step; Ctrl-C after that interrupts it.

    A signal that is ignored, as under `nohup`, stays ignored. Outside the main thread, where
    Python receives no signals, nothing changes.

    Raises
    ------
    SystemExit
        With 128 and the signal's number, after a line that says how to resume.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    try:
        with _signals_stop_work(received):
            yield
    except (progress.Stopped, KeyboardInterrupt):
        with suppress(OSError):  # of a terminal that was closed
            print(
                "Stopped. What is finished and what was saved is kept; the same command resumes "
                f"from there{_command()}",
                file=sys.stderr,
                flush=True,
            )
        sys.exit(128 + (received[0] if received else signal.SIGINT))


@contextmanager
def _signals_stop_work(received: list[int]) -> Iterator[None]:
    """In the block, signals are collected in `received`, and the first one stops work.

    A terminal that closes may send several.
    """
    timer = threading.Timer(_GRACE_SECONDS, _interrupt_unless_noticed)
    timer.daemon = True

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            progress.stop()
            timer.start()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    handled = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield
    finally:
        timer.cancel()
        progress.resume()
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt_unless_noticed() -> None:
    if not progress.is_noticed():  # otherwise a checkpoint may be being written
        _thread.interrupt_main()


def _command() -> str:
    """What the user typed, on a line of its own, if it was a command of Kedro or of the project."""
    program, *arguments = sys.argv
    file = Path(program.removeprefix("python -m "))  # which Kedro's own __main__ sets
    name = file.parent.name if file.name == "__main__.py" else file.stem  # of python -m
    command = _COMMANDS.get(name)
    return "." if command is None else ":\n  " + shlex.join([*command, *arguments])
