"""Signals: work ends at its next report, ignored signals stay ignored."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from pathlib import Path

import pytest

from ergokedro import progress
from ergokedro.progress import Stopped, progress_bar
from ergokedro.runtime import interruption
from ergokedro.runtime.interruption import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_work_ends_at_its_next_report(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    saved = []

    def work() -> None:
        try:
            with progress_bar("k1", 1e9, "steps") as bar:
                os.kill(os.getpid(), number)
                while True:
                    bar.update(1)
        finally:
            saved.append(True)

    with pytest.raises(SystemExit) as ended, interruptible():
        work()
    assert ended.value.code == 128 + number
    assert saved
    assert "the same command resumes" in capsys.readouterr().err
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("/usr/bin/kedro", "\n  kedro run --params 'a b=1'\n"),
        ("/lib/site-packages/kedro/__main__.py", "\n  kedro run"),
        ("python -m kedro", "\n  kedro run"),
        ("/lib/site-packages/ergokedro/__main__.py", "\n  python -m ergokedro run"),
        ("/home/me/ergokedro/notebooks/mine.py", "resumes from there.\n"),
    ],
)
def test_the_command_that_resumes_is_the_one_that_was_typed(
    program: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "run", "--params", "a b=1"])
    with pytest.raises(SystemExit), interruptible():
        raise KeyboardInterrupt
    assert command in capsys.readouterr().err


def test_a_second_hangup_does_not_disturb_the_saving() -> None:
    """A shell and the system both send one when a terminal closes."""
    saved = []

    def work() -> None:
        try:
            with progress_bar("k1", 1e9, "steps") as bar:
                os.kill(os.getpid(), signal.SIGHUP)
                while True:
                    bar.update(1)
        except Stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            saved.append(True)
            raise

    with pytest.raises(SystemExit), interruptible():
        work()
    assert saved


def test_a_long_save_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted: list[bool] = []
    monkeypatch.setattr("_thread.interrupt_main", lambda: interrupted.append(True))
    interruption._interrupt_unless_noticed()
    assert interrupted  # nothing has reported progress
    progress.stop()
    try:
        with pytest.raises(Stopped), progress_bar("k1", 1, "steps") as bar:
            bar.update(1)
        interruption._interrupt_unless_noticed()
    finally:
        progress.resume()
    assert len(interrupted) == 1


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(), progress_bar("k1", 10, "steps") as bar:
            os.kill(os.getpid(), signal.SIGHUP)
            bar.update(10)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_work_is_saved_when_its_terminal_is_closed(tmp_path: Path) -> None:
    """The terminal is gone, so that every line that is written fails."""
    child, terminal = pty.fork()
    if child == 0:  # in the new terminal
        _work_and_save(tmp_path / "saved")
    while not (tmp_path / "saved.begun").exists():
        time.sleep(0.01)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert (tmp_path / "saved").read_text() == "saved"


def _work_and_save(file: Path) -> None:
    """What the process in the terminal does; it never returns into the test."""
    terminal = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stderr = terminal  # pytest has replaced them
    code = 1
    try:
        with interruptible():
            try:
                with progress_bar("k1", 1e9, "steps") as bar:
                    while True:
                        bar.update(1)
                        file.with_name("saved.begun").touch()
            finally:
                file.write_text("saved", encoding="utf-8")
    except SystemExit as ended:
        code = int(str(ended.code))
    finally:
        os._exit(code)
