"""One process at a time writes a dataset: a second `kedro run` is refused before it starts."""

from __future__ import annotations

import errno
import logging
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import xxhash

from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)

# The byte that `OutputLock.alone` locks; it stands for no dataset.
_ALONE = 2**62
_BUSY = {errno.EACCES, errno.EAGAIN}


class OutputLock:
    """Locks on the datasets of one experiment, held until :meth:`release` or the process's end.

    Each dataset is one byte of a lock file, so that any number costs one open file, and
    trainings of different K can run at the same time.

    Parameters
    ----------
    file : the lock file; it stays, empty.
    """

    def __init__(self, file: Path):
        self._file = file
        self._opened: BinaryIO | None = None

    def acquire(self, datasets: Iterable[str], experiment: str) -> None:
        """Lock all `datasets`, without waiting.

        Raises
        ------
        ErgokedroError
            If another process has one of them.
        """
        if sys.platform == "win32":
            return
        import fcntl

        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._opened = self._file.open("ab")
        for dataset in sorted(datasets):
            try:
                fcntl.lockf(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _position(dataset))
            except OSError as error:
                self.release()
                if error.errno not in _BUSY:
                    log.warning(
                        "%s: this file system has no locks (%s). Two commands that write the same "
                        "run at the same time would damage it, and are not refused.",
                        self._file,
                        error.strerror,
                    )
                    return
                raise ErgokedroError(
                    f"Another `kedro run` is writing {dataset} of experiment {experiment!r}. Wait "
                    "until it ends, or choose another folder with --params experiment=NAME."
                ) from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run the block when no other process is in such a block of the same file."""
        if self._opened is None:  # a file system without locks
            yield
            return
        import fcntl

        fcntl.lockf(self._opened, fcntl.LOCK_EX, 1, _ALONE)
        try:
            yield
        finally:
            fcntl.lockf(self._opened, fcntl.LOCK_UN, 1, _ALONE)

    def is_free(self, dataset: str) -> bool:
        """Whether no other process has locked `dataset`; False where that cannot be known.

        A lock that this process has on it is given up.
        """
        if self._opened is None:
            return False
        import fcntl

        try:
            fcntl.lockf(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _position(dataset))
        except OSError:
            return False
        fcntl.lockf(self._opened, fcntl.LOCK_UN, 1, _position(dataset))
        return True

    def release(self) -> None:
        """Unlock everything."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _position(dataset: str) -> int:
    """The byte that stands for a dataset."""
    return xxhash.xxh3_64_intdigest(dataset.encode()) >> 2


class Command:
    """A tracked command of a project; by its tags others find out whether it still runs.

    It holds a lock of its own until the process ends, however it ends. The tags also name the
    machine and the lock file, since the locks of other files say nothing.

    Parameters
    ----------
    folder : of the project's data.
    """

    _FILE, _LOCK = "ergokedro.lock_file", "ergokedro.lock"

    def __init__(self, folder: Path):
        file = folder / ".commands+.lock"  # no experiment can have this name
        self._lock = OutputLock(file)
        key = uuid4().hex
        self._lock.acquire([key], "")
        inode = file.stat().st_ino if file.exists() else None
        self.tags = {self._FILE: f"{platform.node()}:{file}:{inode}", self._LOCK: key}

    def has_outlived(self, tags: Mapping[str, str]) -> bool:
        """Whether the process of the command that made these tags has certainly ended."""
        same_file = tags.get(self._FILE) == self.tags[self._FILE]
        key = tags.get(self._LOCK, "")
        return same_file and key != self.tags[self._LOCK] and self._lock.is_free(key)

    def end(self) -> None:
        """Give up the lock."""
        self._lock.release()
