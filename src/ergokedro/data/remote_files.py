"""A corpus of table files at an fsspec URL (S3, GCS, …), read from there."""

from __future__ import annotations

from glob import has_magic
from pathlib import PurePosixPath

from ergokedro.data.columns import Columns
from ergokedro.data.documents import Source
from ergokedro.data.local_files import choose_tables, is_table
from ergokedro.data.splits import SPLITS, log_files
from ergokedro.data.table_files import READERS, TableFile, table_documents
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters
from ergokedro.remote import list_checksums, open_filesystem


def remote_source(params: CorpusParameters) -> Source:
    """Tables at a URL: of a file, a glob of files or a directory.

    Raises
    ------
    ErgokedroError
        If the URL cannot be opened, or no files can be chosen.
    """
    filesystem, path = open_filesystem(params.source, {})
    try:
        roots = filesystem.glob(path) if has_magic(path) else [path]
        sums = {k: v for root in roots for k, v in list_checksums(filesystem, root).items()}
    except (OSError, ValueError) as error:
        raise ErgokedroError(
            f"corpus.source = {params.source!r} cannot be read: {error}"
        ) from error
    if not sums:
        raise ErgokedroError(
            f"corpus.source = {params.source!r}: nothing is there. Check the address, and for a "
            "private place the credentials."
        )
    base = PurePosixPath(path).parent if path in sums else _fixed_part(path)
    names = {PurePosixPath(file).relative_to(base).as_posix(): file for file in sums}
    if len(names) > 1:  # a directory holds other things too
        names = {name: file for name, file in names.items() if is_table(name)}
    if not names:
        raise ErgokedroError(
            f"corpus.source = {params.source!r}: there is no file of the types {sorted(READERS)}."
        )
    splits = choose_tables(list(names), params.source)
    log_files(splits, [])
    files = [
        TableFile(name, names[name], split, filesystem)
        for split in SPLITS
        for name in splits.get(split, [])
    ]
    columns = Columns(params.text_column, params.label_column)
    key = {"files": {filesystem.unstrip_protocol(f.path): sums[f.path] for f in files}}
    unused = ("text_files", "config", "revision")
    return Source(key, lambda: table_documents(files, columns), unused)


def _fixed_part(path: str) -> PurePosixPath:
    """The folders of a glob above its first part that is one."""
    parts = PurePosixPath(path).parts
    fixed = next((i for i, part in enumerate(parts) if has_magic(part)), len(parts))
    return PurePosixPath(*parts[:fixed])
