"""Ctrl-C and SIGTERM: work ends where it can be saved, soon, and says how to go on."""

from __future__ import annotations

import _thread
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ergokedro import progress

# Work that has not ended by then, since it reports no progress, ends where it stands.
_GRACE_SECONDS = 3.5


@contextmanager
def interruptible() -> Iterator[None]:
    """The first signal asks work to stop at its next step, a second one does not ask.

    Outside the main thread, where Python takes no signals, nothing changes.

    Raises
    ------
    SystemExit
        With 128 and the signal's number, after a line that says how to go on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    timer = threading.Timer(_GRACE_SECONDS, _thread.interrupt_main)
    timer.daemon = True

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt
        progress.stop()
        timer.start()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        ended = None
    except (progress.Stopped, KeyboardInterrupt) as stop:
        ended = stop
    finally:
        timer.cancel()
        progress.resume()
        for number, handler in before.items():
            signal.signal(number, handler)
    if ended is not None:
        print(
            "Stopped. What is finished and what was saved is kept; the same command goes on from "
            f"there{_command()}",
            file=sys.stderr,
        )
        sys.exit(128 + (received[0] if received else signal.SIGINT))


def _command() -> str:
    """What the user typed, on a line of its own, if it was a `kedro` command."""
    program, *arguments = sys.argv
    return ":\n  " + shlex.join(["kedro", *arguments]) if "kedro" in program else "."
