"""Two commands in one project: one of them is refused if they would write the same files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ergokedro.errors import ErgokedroError
from ergokedro.runtime.locks import OutputLock

HOLD = """
import sys
from pathlib import Path
from ergokedro.runtime.locks import OutputLock
lock = OutputLock(Path(sys.argv[1]))
lock.acquire(sys.argv[2:], "mine")
print("locked", flush=True)
sys.stdin.read()
"""


def test_datasets_are_locked_until_the_other_process_ends(tmp_path: Path) -> None:
    file = tmp_path / "data" / ".mine.lock"
    command = [sys.executable, "-c", HOLD, str(file), "k1.nll", "results"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        lock = OutputLock(file)
        with pytest.raises(ErgokedroError, match=r"writing results of experiment 'mine'.*Wait"):
            lock.acquire(["k2.nll", "results"], "mine")
        lock.acquire(["k2.nll"], "mine")  # another K can be trained meanwhile
        lock.release()
        other.kill()
        other.wait()
        lock.acquire(["k1.nll", "results"], "mine")
        lock.release()


def test_thousands_of_datasets_need_one_open_file(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path / ".mine.lock")
    lock.acquire([f"subsets.c{i}.nll" for i in range(5000)], "mine")
    lock.release()
