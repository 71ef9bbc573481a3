"""Directories and files that take another's place: complete at every moment."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ergokedro.files import atomic_directory, recover_directory, write_atomic


class Killed(BaseException):
    """Stands for a kill: nothing may tidy up after it."""


def write(path: Path, content: str) -> None:
    with atomic_directory(path) as work:
        (work / "file").write_text(content)


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4])
def test_a_kill_between_any_two_moves_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, calls: int
) -> None:
    """`calls` moves and removals are made; then the process dies."""
    path = tmp_path / "results"
    if there:
        write(path, "old")
    done = 0

    def dying(original: Any) -> Any:
        def move(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            if done == calls:
                raise Killed
            done += 1
            return original(*args, **kwargs)

        return move

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr("shutil.rmtree", dying(shutil.rmtree))
        try:
            write(path, "new")
        except Killed:
            pass
        else:
            assert calls == 4
            assert not there
    recover_directory(path)
    if there:
        assert (path / "file").read_text() in ("old", "new")
    write(path, "newer")  # what is left over does not stand in the way
    assert (path / "file").read_text() == "newer"
    assert [p.name for p in tmp_path.iterdir()] == ["results"]


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
