"""Labelled documents from the hub, from files or from the synthetic sources, as one stream.

Every source becomes batches of (text, label) in the splits train, validation and test. A source
without held-out splits has them carved out of its training split by content hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from ergokedro.data import synthetic
from ergokedro.data.label_names import delete_names
from ergokedro.data.text_folders import find_text_files, read_text_files
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import CorpusParameters
from ergokedro.remote import is_remote, list_checksums, open_filesystem

SPLITS = ("train", "validation", "test")
_SPLIT_ALIASES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
_BUILDERS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_READ_ROWS = 256
# Settings that decide what is done with a corpus after it was read.
_LATER = ("document_order_seed", "near_duplicates", "near_duplicate_threshold")
SCHEMA = pa.schema([("text", pa.large_string()), ("label", pa.string())])


@dataclass(frozen=True)
class CorpusStream:
    """A corpus that can be read once, in order.

    Attributes
    ----------
    key : what identifies the source; a cached corpus with an equal key need not be read again.
    labels : category names in the source's own order, or None where only the data tell them.
    open : opens the source and gives its revision (or None) and its batches.
    """

    key: dict[str, Any]
    open: Callable[[], OpenCorpus]


@dataclass(frozen=True)
class OpenCorpus:
    """Batches of schema (text large_string, label string or null), each of one split."""

    revision: str | None
    labels: list[str] | None
    batches: Iterator[tuple[str, pa.RecordBatch]]


def corpus_stream(params: CorpusParameters) -> CorpusStream:
    """Choose the source that `params.source` names.

    Raises
    ------
    ErgokedroError
        If the source is neither known, nor a local path, nor shaped like a hub name.
    """
    if params.source == "synthetic":
        key = {"source": "synthetic", **params.synthetic.model_dump()}
        return CorpusStream(key, lambda: _open_synthetic(params))
    key = params.model_dump(exclude={"synthetic", *_LATER})
    if is_remote(params.source):
        checksums = _remote_files(params.source)
        key["files"] = checksums
        return CorpusStream(key, lambda: _open_datasets(params, list(checksums)))
    files = sorted(glob(str(Path(params.source).expanduser())))
    if files:
        key["files"] = [_stat(file) for root in files for file in _data_files(Path(root))]
    elif params.source.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(params.source):
        raise ErgokedroError(
            f"corpus.source = {params.source!r}: no such file or directory, seen from "
            f"{Path.cwd()}. Give an existing path, a hub name, or 'synthetic'."
        )
    if (pattern := _text_files(params, files)) is not None:
        return CorpusStream(key, lambda: _open_folders(params, Path(files[0]), pattern))
    return CorpusStream(key, lambda: _open_datasets(params, files))


def _text_files(params: CorpusParameters, files: list[str]) -> str | None:
    """The glob of text files where the source has a folder of them per category, else None."""
    root = Path(files[0]) if len(files) == 1 else Path()
    if params.text_files is not None:
        if len(files) != 1 or not root.is_dir():
            raise ErgokedroError(
                f"corpus.text_files = {params.text_files!r} is for a directory with a folder per "
                f"category, and corpus.source = {params.source!r} is none."
            )
        return params.text_files
    tables = {".zip", *_BUILDERS}  # which `datasets` reads
    found = {p.suffix for p in _data_files(root)} if len(files) == 1 and root.is_dir() else tables
    return None if found & tables else "**/*"


def _remote_files(source: str) -> dict[str, str]:
    """Checksums of the data files at a URL: of a file, a glob of files or a directory."""
    filesystem, path = open_filesystem(source, {})
    try:
        roots = filesystem.glob(path) if has_magic(path) else [path]
        found = {k: v for root in roots for k, v in list_checksums(filesystem, root).items()}
    except (OSError, ValueError) as error:
        raise ErgokedroError(f"corpus.source = {source!r} cannot be read: {error}") from error
    files = {filesystem.unstrip_protocol(file): sum for file, sum in found.items()}
    if len(files) > 1:  # a directory holds other things too
        files = {file: sum for file, sum in files.items() if Path(file).suffix in _BUILDERS}
    if not files:
        raise ErgokedroError(
            f"corpus.source = {source!r}: there is no file of the types {sorted(_BUILDERS)}."
        )
    return files


def _by_split(files: list[str]) -> dict[str, list[str]]:
    """Files by the split that their names begin with, as on the hub; all in train if none does."""
    splits: dict[str, list[str]] = {}
    for file in files:
        first = re.split(r"[^a-z]", Path(file).name.lower())[0]
        named = (split for split, aliases in _SPLIT_ALIASES.items() if first in aliases)
        splits.setdefault(next(named, "train"), []).append(file)
    return splits if "train" in splits else {"train": files}


def _stat(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _data_files(root: Path) -> list[Path]:
    return [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())


def _open_synthetic(params: CorpusParameters) -> OpenCorpus:
    def batches() -> Iterator[tuple[str, pa.RecordBatch]]:
        for split in SPLITS:
            texts: list[str] = []
            labels: list[str] = []
            for text, label in synthetic.iter_documents(params.synthetic, split):
                texts.append(text)
                labels.append(label)
                if len(texts) == _READ_ROWS:
                    yield split, pa.record_batch([texts, labels], schema=SCHEMA)
                    texts, labels = [], []
            if texts:
                yield split, pa.record_batch([texts, labels], schema=SCHEMA)

    names = synthetic.component_names(params.synthetic.components)
    return OpenCorpus(None, names, batches())


def _open_folders(params: CorpusParameters, root: Path, pattern: str) -> OpenCorpus:
    """Open a directory with a folder of text files per category."""
    files = find_text_files(root, pattern)

    def read() -> Iterator[tuple[str, pa.RecordBatch]]:
        for split, members in files.items():
            for batch in read_text_files(members, SCHEMA):
                yield split, batch

    labels = sorted({label for members in files.values() for label, _ in members})
    batches = delete_names(read(), labels) if params.delete_label_names else read()
    if missing := [split for split in SPLITS[1:] if split not in files]:
        batches = _carve(batches, missing, params.heldout_fraction)
    return OpenCorpus(None, labels, batches)


def _open_datasets(params: CorpusParameters, files: list[str]) -> OpenCorpus:
    """Open a hub name, a directory or files by the `datasets` library."""
    loaded = _load(params, files)
    splits = {
        split: loaded[alias]
        for split, aliases in _SPLIT_ALIASES.items()
        for alias in aliases
        if alias in loaded
    }
    if "train" not in splits:
        raise ErgokedroError(
            f"corpus.source = {params.source!r} has the splits {sorted(loaded)}, but no 'train'."
        )
    for column in (params.text_column, params.label_column):
        if column not in splits["train"].column_names:
            raise ErgokedroError(
                f"corpus.source = {params.source!r} has no column {column!r}; it has "
                f"{splits['train'].column_names}. Set corpus.text_column and corpus.label_column."
            )
    names = getattr(splits["train"].features[params.label_column], "names", None)
    batches = _read(splits, params, names)
    if params.delete_label_names:
        # Before the held-out splits are carved out by content, so that texts that it makes equal
        # fall on the same side.
        batches = delete_names(batches, names or _text_labels(splits, params))
    if missing := [split for split in SPLITS[1:] if split not in splits]:
        batches = _carve(batches, missing, params.heldout_fraction)
    return OpenCorpus(_revision(splits["train"]), names, batches)


def _load(params: CorpusParameters, files: list[str]) -> Any:
    import datasets

    datasets.disable_progress_bars()
    try:
        if files and (is_remote(files[0]) or not Path(files[0]).is_dir()):
            builder = _BUILDERS.get(Path(files[0]).suffix)
            if builder is None:
                raise ErgokedroError(
                    f"corpus.source = {params.source!r}: the file type is not one of "
                    f"{sorted(_BUILDERS)}. Convert it, or give each category a folder of text "
                    "files."
                )
            return datasets.load_dataset(builder, data_files=_by_split(files))
        path = str(Path(files[0]).resolve()) if files else params.source
        return datasets.load_dataset(path, params.config, revision=params.revision)
    except datasets.exceptions.DatasetGenerationError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ErgokedroError(
            f"corpus.source = {params.source!r} could not be read: {str(cause).strip()}. Files "
            "must be UTF-8 (`iconv -f latin1 -t utf8` converts); a CSV file has commas between its "
            "columns, and quotes around texts with commas, quotes or line breaks in them."
        ) from error
    except (OSError, datasets.exceptions.DatasetNotFoundError, RuntimeError) as error:
        if files:
            raise ErgokedroError(
                f"corpus.source = {params.source!r} could not be read: {error}.{_hint(files)}"
            ) from error
        raise ErgokedroError(
            f"The hub data set corpus.source = {params.source!r} cannot be reached "
            f"({type(error).__name__}). On a machine without the hub, copy the data set's files "
            "there and set corpus.source to that directory, for example "
            "`--params corpus.source=/data/arxiv-classification`."
        ) from error
    except ValueError as error:  # datasets: an unknown configuration name
        raise ErgokedroError(
            f"corpus.source = {params.source!r}, corpus.config = {params.config!r}: {error}"
            + ("" if params.config else _hint(files))
        ) from error


def _hint(files: list[str]) -> str:
    """What may be the matter with a directory that is no data set."""
    if not (files and Path(files[0]).is_dir()):
        return ""
    return (
        " If it holds text files, a folder per category, and other files beside them, set "
        "corpus.text_files to a glob that the texts match, such as '**/*.txt'."
    )


def _revision(split: Any) -> str | None:
    """The commit that the hub resolved the revision to, from the addresses it downloaded."""
    for address in split.info.download_checksums or {}:
        if found := re.search(r"@([0-9a-f]{40})/", address):
            return found[1]
    return None


def _read(
    splits: dict[str, Any], params: CorpusParameters, names: list[str] | None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    for split, data in splits.items():
        document = 0
        for table in data.with_format("arrow").iter(batch_size=_READ_ROWS):
            text = table[params.text_column]
            if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
                raise ErgokedroError(
                    f"corpus.text_column = {params.text_column!r} holds {text.type}, not text."
                )
            labels = _label_names(table[params.label_column], names, params.label_column)
            columns = [text.combine_chunks().cast(pa.large_string()), labels]
            batch = pa.record_batch(columns, schema=SCHEMA)
            _check_unicode(batch, split, document)
            document += batch.num_rows
            yield split, batch.set_column(1, SCHEMA.field(1), _trim(labels))


def _trim(labels: pa.Array) -> pa.Array:
    """Without the space around them, which nobody means; null where nothing is left."""
    trimmed = pc.utf8_trim_whitespace(labels)
    return pc.if_else(pc.equal(trimmed, ""), None, trimmed)


def _check_unicode(batch: pa.RecordBatch, split: str, first: int) -> None:
    for column in batch.schema.names:
        try:
            batch[column].validate(full=True)
        except pa.ArrowInvalid as error:
            place = re.search(r"index (\d+)", str(error))
            document = first + int(place[1]) if place else f"{first} or later"
            raise ErgokedroError(
                f"The {column} of document {document} of split {split} is not valid UTF-8. Mend "
                "it in the source, for example with text.decode('utf-8', errors='replace')."
            ) from error


def _label_names(labels: pa.ChunkedArray, names: list[str] | None, column: str) -> pa.Array:
    """Category names; null where a class number has no name."""
    if names is None:
        if pa.types.is_nested(labels.type):
            raise ErgokedroError(
                f"corpus.label_column = {column!r} holds {labels.type}, not one name or number a "
                "document. Choose one label for each in the source."
            )
        return labels.combine_chunks().cast(pa.string())
    numbers = labels.combine_chunks().to_numpy(zero_copy_only=False)
    known = np.isfinite(numbers) & (numbers >= 0) & (numbers < len(names))
    indices = pa.array(np.where(known, numbers, 0).astype(np.int64), mask=~known)
    return pa.array(names, pa.string()).take(indices)


def _text_labels(splits: dict[str, Any], params: CorpusParameters) -> list[str]:
    """The category names that a column of text holds."""
    column = params.label_column
    labels = {label for data in splits.values() for label in data.unique(column)} - {None}
    if not all(isinstance(label, str) for label in labels):
        raise ErgokedroError(
            f"corpus.delete_label_names = true, but corpus.label_column = {column!r} holds numbers "
            "without names; they would go out of the text wherever they stand."
        )
    return sorted(labels)


def _carve(
    batches: Iterator[tuple[str, pa.RecordBatch]], missing: list[str], fraction: float
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Move a share of the training documents to each missing held-out split."""
    for split, batch in batches:
        if split != "train":
            yield split, batch
            continue
        # By content, so that equal documents fall on the same side and order does not matter.
        texts = [(text or "").encode() for text in batch["text"].to_pylist()]
        shares = np.array([xxhash.xxh3_64_intdigest(text) / 2**64 for text in texts])
        target = np.minimum((shares / fraction).astype(np.int64), len(missing))
        for number, name in enumerate([*missing, "train"]):
            if (chosen := np.flatnonzero(target == number)).size:
                yield name, batch.take(pa.array(chosen))
