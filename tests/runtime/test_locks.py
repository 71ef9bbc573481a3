"""Two commands in one project: one of them is refused if they would write the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ergokedro.errors import ErgokedroError
from ergokedro.runtime.locks import Command, OutputLock

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


TRACKED = """
import json, sys
from pathlib import Path
from ergokedro.runtime.locks import Command
command = Command(Path(sys.argv[1]))
print(json.dumps(command.tags), flush=True)
sys.stdin.read()
"""


def test_a_command_is_gone_when_its_process_has_been_killed(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    arguments = [sys.executable, "-c", TRACKED, str(tmp_path / "data")]
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        tags = json.loads(other.stdout.readline())
        command = Command(tmp_path / "data")
        for _ in range(2):  # asking changes nothing
            assert not command.has_outlived(tags)
        other.kill()
        other.wait()
    assert command.has_outlived(tags)
    assert not command.has_outlived(command.tags)
    assert not command.has_outlived({})
    (file,) = set(tags) - {"ergokedro.lock"}
    for change in ("x" + tags[file], tags[file] + "1"):  # another machine, another file
        assert not command.has_outlived({**tags, file: change})
    command.end()
    assert not command.has_outlived(tags)  # it cannot be known any more


def test_thousands_of_datasets_need_one_open_file(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path / ".mine.lock")
    lock.acquire([f"subsets.c{i}.nll" for i in range(5000)], "mine")
    lock.release()
