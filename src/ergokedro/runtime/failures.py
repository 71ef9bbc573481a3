"""Errors of the machine in plain words: a full disk, a folder that cannot be written to."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from logging import LogRecord
from pathlib import Path

from ergokedro.errors import ErgokedroError
from ergokedro.remote import cache_folder

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}


class MachineError(ErgokedroError):
    """A fault of the machine, such as a full disk: on another one the same work may succeed."""


def plain_error(error: BaseException | None) -> ErgokedroError | None:
    """The error that explains `error`, or one of its causes, to the user; None for a defect."""
    for cause in _causes(error):
        if isinstance(cause, ErgokedroError):
            return cause
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return MachineError(
                f"The disk is full, or a quota or size limit is reached: {cause}. Free some space, "
                f"or {_how_to_move(cause)}. The same command resumes from what is saved."
            )
        if isinstance(cause, OSError) and cause.errno in _FORBIDDEN:
            return MachineError(
                f"Access is denied: {cause}. Change the permissions, or {_how_to_move(cause)}."
            )
    return None


def unexpected(record: LogRecord) -> bool:
    """A log filter that drops lines on errors which are reported when the command ends."""
    return plain_error(sys.exc_info()[1]) is None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, what it was raised from, and so on; Kedro wraps what a dataset raises."""
    while error is not None:
        yield error
        error = error.__cause__


def _how_to_move(error: OSError) -> str:
    """What to set so that the file that the error is about is on another disk."""
    file = Path(os.fsdecode(error.filename or "")).absolute()
    hub = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    if file.is_relative_to(hub.absolute()):
        return "set the environment variable HF_HOME to a folder on another disk"
    if file.is_relative_to(cache_folder().absolute()):
        return "set the environment variable ERGOKEDRO_CACHE to a folder on another disk"
    return "set data_root in conf/<env>/globals.yml to a folder on another disk"
