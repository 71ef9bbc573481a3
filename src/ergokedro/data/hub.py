"""A data set on the Hugging Face hub: `datasets` finds and downloads its files.

The files are then read as those of a local copy are, so that both give the same documents.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ergokedro.data.dataset_card import CARD
from ergokedro.data.documents import Documents, Source
from ergokedro.data.file_listing import Location, list_files
from ergokedro.data.local_files import find_tables
from ergokedro.data.table_files import table_documents
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters

log = logging.getLogger(__name__)

_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR}
# Address of a file: the commit, and the path in the repository.
_ADDRESS = re.compile(r"hf://datasets/[^@]+@([0-9a-f]+)/(.+)")


def hub_source(params: CorpusParameters) -> Source:
    """A data set by its name on the hub, which is asked only when the corpus is read."""
    return Source({}, lambda: _open(params))


def _open(params: CorpusParameters) -> Documents:
    try:
        location = _download(params)
    except ErgokedroError:
        raise
    except Exception as error:  # of several libraries and of the network
        known = _explain(params, error)
        if known is not None:
            raise ErgokedroError(known) from error
        location = _find_copy(params, error)
    files, columns = find_tables(params, location)
    return table_documents(files, columns, revision=location.root.name)


def _download(params: CorpusParameters) -> Location:
    """The data files of a configuration and the card, in the hub's cache."""
    import datasets

    datasets.disable_progress_bars()
    builder = datasets.load_dataset_builder(params.source, params.config, revision=params.revision)
    addresses = sorted({str(url) for urls in builder.config.data_files.values() for url in urls})
    names = [match[2] for url in addresses if (match := _ADDRESS.fullmatch(url))]
    if len(names) < len(addresses):
        raise ErgokedroError(
            f"corpus.source = {params.source!r} has files outside the hub. Download them, and set "
            "corpus.source to their folder."
        )
    paths = [Path(path) for path in datasets.DownloadManager().download(addresses)]
    root = Path(str(paths[0]).removesuffix(names[0].replace("/", os.sep)))
    card = [root / CARD] if (root / CARD).is_file() else []
    return Location(root, [*paths, *card], is_directory=True)


def _explain(params: CorpusParameters, error: Exception) -> str | None:
    """What an error means for the user; None if the hub cannot be reached."""
    name = params.source
    if unwritable := unwritable_cache(error):  # which may keep `datasets` from being imported
        return f"The hub data set corpus.source = {name!r} cannot be stored: {unwritable}"
    from datasets.exceptions import DatasetNotFoundError

    if isinstance(error, ValueError):  # an unknown configuration
        reason = " ".join(str(error).split("Example of usage")[0].split())
        return f"corpus.source = {name!r}, corpus.config = {params.config!r}: {reason}"
    if isinstance(error, DatasetNotFoundError):
        return f"corpus.source = {name!r} is no path here and no data set on the hub: {error}"
    if "scripts are no longer supported" in str(error):
        return (
            f"The hub data set corpus.source = {name!r} is a loading script, which is not run. "
            "Set corpus.revision to 'refs/convert/parquet', where the hub keeps a Parquet copy of "
            "most data sets."
        )
    return None


def _find_copy(params: CorpusParameters, error: Exception) -> Location:
    """What an earlier download left, where the hub cannot be reached.

    Raises
    ------
    ErgokedroError
        If there is nothing.
    """
    from huggingface_hub import snapshot_download

    name = params.source
    try:
        folder = snapshot_download(
            name, repo_type="dataset", revision=params.revision, local_files_only=True
        )
    except Exception:  # of several types: it was never downloaded
        raise ErgokedroError(
            f"The hub data set corpus.source = {name!r} cannot be reached "
            f"({type(error).__name__}). On a machine without the hub, copy the data set's files "
            "there and set corpus.source to that directory, for example "
            "`--params corpus.source=/data/arxiv-classification`."
        ) from error
    log.warning("The hub cannot be reached; reading the copy of %s in %s", name, folder)
    return Location(Path(folder), list_files(Path(folder)), is_directory=True)


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
