"""Directories and files that take another's place: complete at every moment."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ergokedro.files import atomic_directory, recover_directory, write_atomic


class KilledError(BaseException):
    """Stands for a kill: nothing may tidy up after it."""


def write(path: Path, content: str) -> None:
    with atomic_directory(path) as work:
        (work / "file").write_text(content)


def write_and_die(path: Path, content: str, calls: int) -> bool:
    """Write until `calls` moves and removals are made, then die; False if it ended before."""
    done = 0

    def dying(original: Any) -> Any:
        def move(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            if done == calls:
                raise KilledError
            done += 1
            return original(*args, **kwargs)

        return move

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr("shutil.rmtree", dying(shutil.rmtree))
        try:
            write(path, content)
        except KilledError:
            return True
    return False


@pytest.mark.parametrize("second", range(7))
@pytest.mark.parametrize("first", range(5))
def test_kills_between_any_two_moves_lose_nothing(tmp_path: Path, first: int, second: int) -> None:
    path = tmp_path / "results"
    write(path, "old")
    assert write_and_die(path, "new", first)
    write_and_die(path, "newer", second)
    recover_directory(path)
    assert (path / "file").read_text() in ("old", "new", "newer")
    write(path, "newest")  # what is left over does not stand in the way
    assert (path / "file").read_text() == "newest"
    assert [p.name for p in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize("calls", range(4))
def test_a_kill_of_the_first_write_leaves_nothing_half(tmp_path: Path, calls: int) -> None:
    path = tmp_path / "results"
    assert write_and_die(path, "new", calls)
    recover_directory(path)
    assert not path.exists() or (path / "file").read_text() == "new"
    assert not write_and_die(path, "newer", 6)


def test_recovering_leaves_what_is_there(tmp_path: Path) -> None:
    write(tmp_path / "results", "new")
    (tmp_path / "results.old").mkdir()
    recover_directory(tmp_path / "results")
    assert (tmp_path / "results" / "file").read_text() == "new"
    recover_directory(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "deep" / "file"
    write_atomic(file, b"old")
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
