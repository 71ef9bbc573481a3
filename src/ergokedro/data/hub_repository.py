"""Repositories on the Hugging Face hub: which commit, its files in the hub's cache, clear errors.

`huggingface_hub` resolves, downloads and caches. It repeats most requests that failed and goes on
with a file whose transfer broke off. Added here is what it leaves out: some requests that it makes
once only, and what an error means for the settings.
"""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any, Literal, TypeVar

from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)

_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR}
_TRANSIENT = {408, 429, 500, 502, 503, 504}
# Seconds before each further attempt, unless the hub asks for more.
_WAITS = (1.0, 4.0, 16.0)
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_COPY = {
    "corpus": (
        "On a machine without the hub, copy the data set's files there and set corpus.source to "
        "that directory, for example `--params corpus.source=/data/arxiv-classification`."
    ),
    "tokenizer": (
        "On a machine without the hub, copy the tokenizer's files there and set tokenizer.source "
        "to that directory, or to 'trained'."
    ),
    "references": (
        "On a machine without the hub, copy the model's config.json, safetensors and tokenizer "
        "there and name that directory."
    ),
}

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class HubRepository:
    """A repository that a setting names.

    Attributes
    ----------
    kind : what the hub calls it; a tokenizer is in a 'model'.
    name : 'owner/name', a value of the setting.
    revision : branch, tag or commit; None is the default branch.
    setting : 'corpus.source', 'tokenizer.source' or 'references'.
    """

    kind: Literal["dataset", "model"]
    name: str
    revision: str | None
    setting: str

    def resolve(self) -> Any:
        """The revision, with the commit that it stands for now as `resolved`.

        Where the hub cannot be reached, it is the commit of the last download.
        """
        from huggingface_hub import HfApi

        return retry(
            lambda: HfApi().resolve_revision(self.name, repo_type=self.kind, revision=self.revision)
        )

    def cached_folder(self, revision: Any) -> Path:
        """The folder of what was downloaded of a commit, without asking the hub.

        Raises
        ------
        LocalEntryNotFoundError
            If there is none.
        """
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                self.name,
                repo_type=self.kind,
                revision=revision,
                allow_patterns=[],
                local_files_only=True,
            )
        )

    def download(
        self, revision: Any, patterns: list[str], ignored: list[str] | None = None
    ) -> Path:
        """Download the files that globs match, but for those in the cache; give the folder."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

        if not sys.stderr.isatty():
            disable_progress_bars()

        def attempt() -> str:
            folder: str = snapshot_download(
                self.name,
                repo_type=self.kind,
                revision=revision,
                allow_patterns=patterns,
                ignore_patterns=ignored,
            )
            return folder

        return Path(retry(attempt))

    def download_files(self, revision: Any, names: list[str]) -> Path:
        """As :meth:`download`, files by their names."""
        return self.download(revision, [escape(name) for name in names])

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the hub's libraries and of the network into one that says what to do.

        Raises
        ------
        ErgokedroError
            Instead of whatever else is raised inside.
        """
        from huggingface_hub.errors import RevisionResolutionError
        from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

        try:
            yield
        except (OSError, ValueError, httpx.HTTPError, RevisionResolutionError) as error:
            raise ErgokedroError(self._explain(error)) from error

    @property
    def _group(self) -> str:
        return self.setting.removesuffix(".source")

    def _explain(self, error: Exception) -> str:
        where = f"{self.setting} = {self.name!r}"
        if unwritable := unwritable_cache(error):  # which may keep a library from being imported
            return f"{where} cannot be stored: {unwritable}"
        if (refused := self._refusal(error)) is not None:
            return f"{where} {refused}"
        status = _status(error)
        reason = type(error).__name__ if status is None else f"HTTP {status}"
        return f"{where}: the hub cannot be reached ({reason}). {_COPY[self._group]}"

    def _refusal(self, error: Exception) -> str | None:
        """What the hub said no to; None if it said nothing."""
        from huggingface_hub import constants, errors

        page = f"{constants.ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"
        what = "data set" if self.kind == "dataset" else "model"
        status = _status(error)
        for cause in _causes(error):
            if isinstance(cause, errors.HFValidationError):
                return f"is no path here and no name on the hub: {cause}"
            if isinstance(cause, errors.GatedRepoError):
                return f"is gated (HTTP {status}): ask for access at {page}, then {_LOG_IN}."
            if isinstance(cause, errors.RevisionNotFoundError):
                # An entry of `references` has its revision behind an @.
                setting = "revision" if self.setting == "references" else f"{self._group}.revision"
                return f"has no {setting} = {self.revision!r}: {page} lists what it has."
            if isinstance(cause, errors.RepositoryNotFoundError):
                return (
                    f"is no path here, and the hub shows no such {what} (HTTP {status}). If it is "
                    f"private, {_LOG_IN}."
                )
        if status == 401:
            return f"cannot be read: the hub does not accept the token (HTTP 401); {_LOG_IN} anew."
        if status == 403:
            return (
                f"cannot be read: the token has no right to it (HTTP 403). Give it that right at "
                f"{constants.ENDPOINT}/settings/tokens."
            )
        if status == 429:
            return f"cannot be read: too many requests (HTTP 429). Wait, or {_LOG_IN}, for more."
        return None


def retry(request: Callable[[], Answer]) -> Answer:
    """Answer to a request, repeated where the hub has too much to do or a transfer broke off."""
    for wait in _WAITS:
        try:
            return request()
        except Exception as error:
            if not _is_transient(error):
                raise
            wait = max(wait, _asked_wait(error))
            log.warning("The hub: %s; trying again in %g s", _in_short(error), wait)
            time.sleep(wait)
    return request()


def _is_transient(error: Exception) -> bool:
    """Whether another attempt may succeed; not where there is no connection at all."""
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    broken = (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError)
    return _status(error) in _TRANSIENT or any(isinstance(c, broken) for c in _causes(error))


def _in_short(error: Exception) -> str:
    status = _status(error)
    return type(error).__name__ if status is None else f"HTTP {status}"


def _response(error: BaseException) -> Any:
    """The HTTP response that an error, or what caused it, has; None if there is none."""
    responses = (getattr(cause, "response", None) for cause in _causes(error))
    return next((response for response in responses if response is not None), None)


def _status(error: BaseException) -> int | None:
    status: int | None = getattr(_response(error), "status_code", None)
    return status


def _asked_wait(error: BaseException) -> float:
    """Seconds that the response asks to wait."""
    value = getattr(_response(error), "headers", {}).get("Retry-After", "")
    return float(value) if value.isdecimal() else 0.0


def unwritable_cache(error: BaseException) -> str | None:
    """What to do where the hub's cache cannot be written to; None of another error."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _UNWRITABLE:
            return (
                f"{cause.strerror}: {cause.filename}. Set HF_HOME to a folder that can be written "
                "to and has space."
            )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
