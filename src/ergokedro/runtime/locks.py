"""One process at a time writes a dataset: a second `kedro run` is refused before it starts."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import xxhash

from ergokedro.errors import ErgokedroError

# The byte that stands for no dataset.
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
            position = xxhash.xxh3_64_intdigest(dataset.encode()) >> 2
            try:
                fcntl.lockf(self._opened, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, position)
            except OSError as error:
                self.release()
                if error.errno not in _BUSY:
                    return  # a file system without locks
                raise ErgokedroError(
                    f"Another `kedro run` is writing {dataset} of experiment {experiment!r}. Wait "
                    "until it ends, or choose another folder with --params experiment=NAME."
                ) from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process is in such a block of its own."""
        if self._opened is None:  # a file system without locks
            yield
            return
        import fcntl

        fcntl.lockf(self._opened, fcntl.LOCK_EX, 1, _ALONE)
        try:
            yield
        finally:
            fcntl.lockf(self._opened, fcntl.LOCK_UN, 1, _ALONE)

    def release(self) -> None:
        """Unlock everything."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
