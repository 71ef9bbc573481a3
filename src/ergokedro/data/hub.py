"""A data set on the Hugging Face hub: `datasets` finds the files of its configuration.

The files are then read as those of a local copy are, so that both give the same documents.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ergokedro.data.columns import Columns
from ergokedro.data.dataset_card import CARD, INFOS
from ergokedro.data.documents import Documents, Source
from ergokedro.data.file_listing import Location
from ergokedro.data.hub_repository import HubRepository, retry
from ergokedro.data.local_files import find_tables
from ergokedro.data.table_files import TableFile, table_documents
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters

log = logging.getLogger(__name__)

# Address of a file: the commit, and the path in the repository.
_ADDRESS = re.compile(r"hf://datasets/[^@]+@([0-9a-f]+)/(.+)")

# The folder of a commit, the files to read, and the columns to read from them.
Tables = tuple[Path, list[TableFile], Columns]


def hub_source(params: CorpusParameters) -> Source:
    """A data set by its name on the hub, which is asked only when the corpus is read."""
    return Source({}, lambda: _open(params), unused=("text_files",))


def _open(params: CorpusParameters) -> Documents:
    repository = HubRepository("dataset", params.source, params.revision, "corpus.source")
    with repository.explained():
        revision = repository.resolve()
        tables = _find_copy(params, repository, revision)
        if tables is None:
            fetch = _stream if params.streaming else _download
            tables = fetch(params, repository, revision)
    root, files, columns = tables
    log.info("Corpus: commit %s of %s", root.name, params.source)
    return table_documents(files, columns, revision=root.name)


def _find_copy(params: CorpusParameters, repository: HubRepository, revision: Any) -> Tables | None:
    """What an earlier download left; None unless it is whole. The files of a commit never change.

    Which files there should be is told by the hub's list of them, which is in the cache, too.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    try:
        root = repository.cached_folder(revision)
        listed = get_cached_repo_tree(params.source, repo_type="dataset", revision=revision)
    except (CachedRepoTreeNotFoundError, LocalEntryNotFoundError):
        return None
    names = [file.path for file in listed if not file.path.startswith(".")]
    files, columns = find_tables(params, Location(root, [root / n for n in names], True))
    whole = all(Path(file.path).is_file() for file in files)
    return (root, files, columns) if whole else None


def _download(params: CorpusParameters, repository: HubRepository, revision: Any) -> Tables:
    """The tables of a configuration, downloaded with the card into the hub's cache."""
    repository.download_files(revision, [CARD, INFOS])
    names = retry(lambda: _data_files(params, revision.resolved))
    root = repository.download_files(revision, names)
    files = [root / name for name in (*names, CARD, INFOS) if (root / name).is_file()]
    return (root, *find_tables(params, Location(root, files, is_directory=True)))


def _stream(params: CorpusParameters, repository: HubRepository, revision: Any) -> Tables:
    """As :func:`_download`, but only the card; the tables are at the hub."""
    from huggingface_hub import HfFileSystem, constants

    root = repository.download_files(revision, [CARD, INFOS])
    names = retry(lambda: _data_files(params, revision.resolved))
    files, columns = find_tables(params, Location(root, [root / n for n in names], True))
    hub = HfFileSystem(endpoint=constants.ENDPOINT)
    folder = f"datasets/{params.source}@{revision.resolved}"
    remote = [replace(file, path=f"{folder}/{file.name}", filesystem=hub) for file in files]
    return root, remote, columns


def _data_files(params: CorpusParameters, commit: str) -> list[str]:
    """The data files of a configuration, by their paths in the repository.

    Raises
    ------
    ErgokedroError
        If there is no such configuration, or it cannot be read.
    """
    import datasets

    datasets.disable_progress_bars()
    try:
        builder = datasets.load_dataset_builder(params.source, params.config, revision=commit)
    except Exception as error:  # of several libraries and of the network
        if (reason := _reason(error)) is None:
            raise
        raise ErgokedroError(
            f"corpus.source = {params.source!r}, corpus.config = {params.config!r}: {reason}"
        ) from error
    addresses = sorted({str(url) for urls in builder.config.data_files.values() for url in urls})
    names = [match[2] for url in addresses if (match := _ADDRESS.fullmatch(url))]
    if len(names) < len(addresses):
        raise ErgokedroError(
            f"corpus.source = {params.source!r} has files outside the hub. Download them, and set "
            "corpus.source to their folder."
        )
    return names


def _reason(error: Exception) -> str | None:
    """What an error says of the data set; None of an error of the hub or the network."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    if "scripts are no longer supported" in str(error):
        return (
            "it is a loading script, which is not run. Set corpus.revision to "
            "'refs/convert/parquet', where the hub keeps a Parquet copy of most data sets."
        )
    if isinstance(error, LocalEntryNotFoundError):
        return None
    if isinstance(error, (ValueError, FileNotFoundError)):  # no such configuration, no such file
        return " ".join(str(error).split("Example of usage")[0].split())
    return None
