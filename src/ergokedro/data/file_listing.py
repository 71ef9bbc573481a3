"""The files of a corpus on this machine: found by path or glob, and told apart by content."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

import xxhash
from fsspec.utils import glob_translate

log = logging.getLogger(__name__)

# Hidden files, and what macOS puts beside the files of an archive.
_HIDDEN = (".", "__MACOSX")
_READ_BYTES = 2**18


@dataclass(frozen=True)
class Location:
    """Where a source's files are.

    Attributes
    ----------
    root : the folder from which on their names are given.
    files : their paths, sorted.
    is_directory : whether the source is the folder itself.
    """

    root: Path
    files: list[Path]
    is_directory: bool

    @property
    def names(self) -> dict[str, Path]:
        """The files by their path from the root on, with '/' between its parts."""
        return {file.relative_to(self.root).as_posix(): file for file in self.files}


def locate(source: str) -> Location | None:
    """Find the files of a path or a glob; None if there is nothing.

    What exists is taken literally, brackets included. Only what follows it can be a glob, in which
    '**' stands for any number of folders; a folder that it matches stands for its files.
    """
    path = Path(source.removeprefix("file://")).expanduser()
    if path.is_file():
        return Location(path.parent, [path], is_directory=False)
    if path.is_dir():
        _warn_of_broken_links(path)
        return Location(path, list_files(path), is_directory=True)
    root = next(parent for parent in path.parents if parent.exists())
    pattern = path.relative_to(root)
    if not has_magic(pattern.parts[0]) or not root.is_dir():
        return None  # a name that is not there
    files = sorted(_matching(root, pattern.as_posix()))
    return Location(root, files, is_directory=False) if files else None


def _matching(root: Path, pattern: str) -> set[Path]:
    """The visible files that a glob matches, and those in folders that it matches."""
    if "**" not in pattern:
        matches = [path for path in root.glob(pattern) if not _is_hidden(path.relative_to(root))]
        return {f for match in matches for f in ([match] if match.is_file() else list_files(match))}
    is_match = re.compile(glob_translate(pattern)).match
    return {
        file
        for file in list_files(root)
        for path in (file, *file.parents)
        if path.is_relative_to(root) and is_match(path.relative_to(root).as_posix())
    }


def list_files(root: Path) -> list[Path]:
    """The files below a folder, sorted, without hidden ones; links are followed."""
    return sorted(path for path in _walk(root, _folders_above(root)) if path.is_file())


def list_folders(root: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not _is_hidden(path))


def _walk(folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """What is below a folder and is no folder, but for links to a folder above."""
    identity = _identity(folder)
    if identity in above:
        return
    for path in folder.iterdir():
        if path.name.startswith(_HIDDEN):
            continue
        if path.is_dir():
            yield from _walk(path, above | {identity})
        else:
            yield path


def _folders_above(root: Path) -> frozenset[tuple[int, int]]:
    return frozenset(map(_identity, root.resolve().parents))


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _warn_of_broken_links(root: Path) -> None:
    broken = sorted(str(p) for p in _walk(root, _folders_above(root)) if not p.exists())
    if broken:
        log.warning("Corpus: not read: %d broken links, such as %s", len(broken), broken[0])


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(_HIDDEN) for part in path.parts)


def hash_files(files: Iterable[Path], root: Path) -> dict[str, Any]:
    """Number, bytes and 128-bit XXH3 of files: it changes with their content and their names.

    Times of modification say nothing: tools that copy keep them when the content changes.
    """
    whole, count, size = xxhash.xxh3_128(), 0, 0
    buffer = memoryview(bytearray(_READ_BYTES))
    for file in sorted(files):
        digest = xxhash.xxh3_128()
        with file.open("rb", buffering=0) as stream:
            while n := stream.readinto(buffer):
                digest.update(buffer[:n])
                size += n
        name = os.path.relpath(file, root).replace(os.sep, "/")
        whole.update(name.encode(errors="surrogateescape") + b"\0" + digest.digest())
        count += 1
    return {"files": count, "bytes": size, "xxh3_128": whole.hexdigest()}
