"""Writing files and directories so that a crash or a full disk never leaves half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

# Written to find out whether an error without a reason was a full disk.
_PROBE_BYTES = 2**16
_UNSUPPORTED = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a new directory that replaces `path` when the block ends without an exception.

    After an exception, or a kill, `path` holds what it held before; after a kill between the
    last two renames, once :func:`recover_directory` was called.

    Raises
    ------
    OSError
        Also for a library's own exception, if the disk is full.
    """
    path = Path(path)
    work = path.with_name(path.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    try:
        with _full_disk_is_an_os_error(path):
            work.mkdir(parents=True)
            yield work
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    replace_directory(work, path)


def replace_directory(new: Path, path: Path) -> None:
    """Move directory `new` to `path`, whose former content is deleted.

    At every moment one of `path` and its `.old` is complete.
    """
    recover_directory(path)
    old = _old(path)
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def recover_directory(path: Path) -> None:
    """Restore the former `path` after a kill between the two renames of its replacement."""
    if not path.exists() and _old(path).exists():
        _old(path).rename(path)


def _old(path: Path) -> Path:
    return path.with_name(path.name + ".old")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield the name of a file that replaces `path` when the block ends without an exception.

    It is durable before it becomes visible. After an exception, or a kill, `path` holds what it
    held before.

    Raises
    ------
    OSError
        Also for a library's own exception, if the disk is full.
    """
    path = Path(path)
    work = path.with_name(path.name + ".partial")
    try:
        with _full_disk_is_an_os_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield work
            with work.open("r+b") as file:
                os.fsync(file.fileno())
            work.replace(path)
    except BaseException:
        with suppress(OSError):
            work.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, as :func:`atomic_file` does."""
    with atomic_file(path) as work:
        work.write_bytes(data)


def reserve(file: BinaryIO, n_bytes: int) -> None:
    """Allocate the first `n_bytes` of an empty file on the disk.

    A write through a memory map cannot report a full disk: the process dies of SIGBUS.

    Raises
    ------
    OSError
        If the disk is full, or the file larger than allowed.
    """
    allocate = getattr(os, "posix_fallocate", None)  # macOS has none
    if allocate is not None:
        try:
            allocate(file.fileno(), 0, n_bytes)
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    block = bytes(2**20)
    for start in range(0, n_bytes, len(block)):
        file.write(block[: n_bytes - start])
    file.flush()


@contextmanager
def _full_disk_is_an_os_error(path: Path) -> Iterator[None]:
    """Turn a library's own exception for a full disk into the system's.

    The block must end before what was written is deleted, which makes space again.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) or error.errno is None:
            _probe(path)
        elif error.filename is None:
            error.filename = str(path)
        raise


def _probe(path: Path) -> None:
    """Raise the system's error if a little file cannot be written beside `path`."""
    probe = path.with_name(f".{os.getpid()}.probe")
    try:
        probe.write_bytes(bytes(_PROBE_BYTES))
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def canonical_json(value: Any) -> bytes:
    """A JSON value as bytes, for hashing and for storing: equal values give equal bytes."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def fingerprint(value: Any) -> str:
    """128-bit XXH3 hex digest of a JSON value's canonical form."""
    return xxhash.xxh3_128_hexdigest(canonical_json(value))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one: {'a': {'b': 1}} becomes {'a.b': 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat
