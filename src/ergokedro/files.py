"""Writing files and directories so that a crash never leaves a half-written result."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xxhash


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a fresh directory that takes the place of `path` when the block ends well.

    After an exception, or a kill, `path` holds what it held before; after a kill between the
    last two renames, once :func:`recover_directory` was called.
    """
    path = Path(path)
    work = path.with_name(path.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    replace_directory(work, path)


def replace_directory(new: Path, path: Path) -> None:
    """Move directory `new` to `path`, whose former content goes.

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
    """Bring the former `path` back if a kill hit while another was about to take its place."""
    if not path.exists() and _old(path).exists():
        _old(path).rename(path)


def _old(path: Path) -> Path:
    return path.with_name(path.name + ".old")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield the name of a file that takes the place of `path` when the block ends well.

    It is durable before it becomes visible. After an exception, or a kill, `path` holds what it
    held before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(path.name + ".partial")
    yield work
    with work.open("r+b") as file:
        os.fsync(file.fileno())
    work.replace(path)


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, as :func:`atomic_file` does."""
    with atomic_file(path) as work:
        work.write_bytes(data)


def canonical_json(value: Any) -> bytes:
    """The one byte string that stands for a JSON value: for hashing and for storing."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def fingerprint(value: Any) -> str:
    """128-bit XXH3 hex digest of a JSON value's canonical form."""
    return xxhash.xxh3_128_hexdigest(canonical_json(value))


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} becomes {'a.b': 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, dict)
        flat |= flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat
