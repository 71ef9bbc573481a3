"""Files and directories at an fsspec URL (S3, GCS, …), each with a copy on this machine.

The copy is what is mapped and written. It is in the cache folder, under a name that depends on the
URL alone. A note beside it holds the checksums (an object store's ETags) of what was copied, so
that data are transferred only when they have changed.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import platformdirs

from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_directory, atomic_file, canonical_json, fingerprint, write_atomic


def is_remote(path: str) -> bool:
    """Whether a path is a URL of anything but the local file system."""
    protocol, separator, _ = path.partition("://")
    return bool(separator) and protocol not in ("file", "local")


def open_filesystem(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises
    ------
    ErgokedroError
        If the protocol is unknown, or its package is not installed.
    """
    from fsspec.core import url_to_fs

    try:
        filesystem, path = url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise ErgokedroError(
            f"{url} cannot be opened: {error}. For s3:// URLs install the extra `s3` "
            "(`pip install 'ergokedro[s3]'`), for others the fsspec package of the protocol."
        ) from error
    return filesystem, str(path).rstrip("/")


def list_checksums(filesystem: Any, path: str) -> dict[str, str]:
    """Checksum of every file at or below a path, by its path; nothing if there is none."""
    filesystem.invalidate_cache()  # other processes may have written since
    return {file: str(filesystem.checksum(file)) for file in sorted(filesystem.find(path))}


def cache_folder() -> Path:
    """ERGOKEDRO_CACHE, else `ergokedro` in the user's cache folder."""
    if folder := os.environ.get("ERGOKEDRO_CACHE"):
        return Path(folder).expanduser().resolve()
    return platformdirs.user_cache_path("ergokedro", appauthor=False)


class RemoteCopy:
    """A file or directory at a URL, and its local copy.

    Parameters
    ----------
    url : fsspec URL.
    options : of the file system: credentials, endpoint and the like.
    """

    def __init__(self, url: str, options: dict[str, Any]):
        self.url = url
        self._options = options
        folder = cache_folder() / fingerprint(url)
        self._data, self._note = folder / "data", folder / "note.json"
        self.local = self._data / PurePosixPath(url.rstrip("/")).name

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteCopy, (self.url, self._options)  # another machine has its own cache folder

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        return open_filesystem(self.url, self._options)

    @property
    def unused(self) -> bool:
        """Whether the local copy does not exist."""
        return not self._data.exists()

    def exists(self) -> bool:
        """Whether there is anything at the URL."""
        return bool(self._checksums())

    def pull(self) -> Path:
        """Bring the local copy up to date and return its path.

        One process of a machine at a time does so; others wait and find it up to date.

        Raises
        ------
        ErgokedroError
            If there is nothing at the URL.
        """
        from filelock import FileLock

        self._note.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self._note.with_name("lock")):
            self._pull()
        return self.local

    def _pull(self) -> None:
        filesystem, path = self._opened
        remote = self._checksums()
        if not remote:
            raise ErgokedroError(f"There is nothing at {self.url}.")
        if self._agrees(remote):
            return
        with atomic_directory(self._data) as work:
            for file in remote:
                target = work / self.local.name / PurePosixPath(file).relative_to(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                filesystem.get_file(file, str(target))
        self._write_note(remote)

    def push(self) -> None:
        """Make what is at the URL equal to the local copy, with the files beside it.

        What is at the URL is deleted first, and JSON files, which complete a corpus or a store,
        are uploaded last: what an interrupted upload leaves is incomplete and is not taken for
        complete.
        """
        if self._agrees(self._checksums()):
            return
        filesystem, path = self._opened
        if filesystem.exists(path):
            filesystem.rm(path, recursive=True)
        files = [file for file in sorted(self._data.rglob("*")) if file.is_file()]
        for file in sorted(files, key=lambda file: file.suffix == ".json"):
            target = f"{PurePosixPath(path).parent}/{file.relative_to(self._data).as_posix()}"
            filesystem.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
            filesystem.put_file(str(file), target)
        self._write_note(self._checksums())

    def _checksums(self) -> dict[str, str]:
        return list_checksums(*self._opened)

    def _agrees(self, remote: dict[str, str]) -> bool:
        """Whether neither side has changed since they were last equal."""
        try:
            note = json.loads(self._note.read_bytes())
        except (OSError, ValueError):
            return False
        return bool(remote) and note == {"remote": remote, "local": self._local_state()}

    def _write_note(self, remote: dict[str, str]) -> None:
        note = {"remote": remote, "local": self._local_state()}
        write_atomic(self._note, canonical_json(note))

    def _local_state(self) -> dict[str, list[int]]:
        files = [file for file in sorted(self._data.rglob("*")) if file.is_file()]
        return {
            file.relative_to(self._data).as_posix(): [file.stat().st_size, file.stat().st_mtime_ns]
            for file in files
        }


class RemoteFolder:
    """A folder at a URL that gets the files which work on this machine adds to a local one.

    Files appear in the local folder in one step; names that begin with a dot or end in `.partial`
    are not copied.

    Parameters
    ----------
    url : fsspec URL.
    options : of the file system.
    local : the local folder.
    """

    def __init__(self, url: str, options: dict[str, Any], local: Path):
        self._url, self._options, self._local = url, options, local
        self._pushed: dict[str, tuple[int, int]] = {}

    def pull(self) -> None:
        """Add the files that only the URL has."""
        filesystem, path = open_filesystem(self._url, self._options)
        for file in list_checksums(filesystem, path):
            target = self._local / PurePosixPath(file).relative_to(path)
            if not target.exists():
                with atomic_file(target) as work:
                    filesystem.get_file(file, str(work))
        self._pushed = self._files()

    def push(self) -> None:
        """Upload what is new since the last call, then delete what was deleted here."""
        files = self._files()
        if files == self._pushed:
            return
        filesystem, path = open_filesystem(self._url, self._options)
        for name in files:
            if files[name] != self._pushed.get(name):
                filesystem.makedirs(f"{path}/{PurePosixPath(name).parent}", exist_ok=True)
                filesystem.put_file(str(self._local / name), f"{path}/{name}")
        for name in self._pushed.keys() - files.keys():
            filesystem.rm_file(f"{path}/{name}")
        self._pushed = files

    def _files(self) -> dict[str, tuple[int, int]]:
        """Size and time of every complete file, by its path in the folder."""
        files = {}
        for file in self._local.rglob("*"):
            if file.name.startswith(".") or file.suffix == ".partial":
                continue
            with suppress(FileNotFoundError):  # deleted since it was listed
                if file.is_file():
                    state = file.stat()
                    name = file.relative_to(self._local).as_posix()
                    files[name] = state.st_size, state.st_mtime_ns
        return files
