"""Text files in a folder per category: `<category>/…/<file>`, or with folders of splits.

These may be above the categories (`<split>/<category>/…/<file>`) or in each of them
(`<category>/<split>/…/<file>`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from fsspec.utils import glob_translate

from ergokedro.data.documents import Documents, Part, Row, batch_rows
from ergokedro.data.file_listing import list_files, list_folders
from ergokedro.data.splits import READING_ORDER, SPLITS, check_train, split_named, splits_in
from ergokedro.data.table_files import LFS_POINTER
from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)

# Share of NUL characters from which on a file is taken for UTF-16 or binary.
_MANY_NULS = 0.1
_BOM = "\ufeff"
_HELD_OUT = set(SPLITS) - {"train"}

# Category and path of every file of a split.
TextFiles = dict[str, list[tuple[str, Path]]]


def find_text_files(root: Path, pattern: str) -> TextFiles:
    """Category and path of every file, by split, in the order of their names.

    Without folders of splits, everything belongs to `train`. Hidden files are left out.

    Parameters
    ----------
    pattern : glob, from the folder of a category (and split) on; or an ending such as '.txt'.

    Raises
    ------
    ErgokedroError
        If no category has a matching file, or none of the splits is train.
    """
    glob = f"**/*{pattern}" if re.fullmatch(r"\.\w+", pattern) else pattern
    matches = re.compile(glob_translate(glob), re.IGNORECASE).match
    files: TextFiles = {}
    for split, category, folder in _folders(root):
        for file in list_files(folder):
            if matches(file.relative_to(folder).as_posix()):
                files.setdefault(split, []).append((category, file))
    if not files:
        raise ErgokedroError(
            f"corpus.source = {str(root)!r}: no file <category>/{glob} is there"
            f"{_what_is_there(root)}. Give each category a folder of text files, or set "
            "corpus.text_files to the glob that they match."
        )
    check_train(files, str(root))
    return files


def _folders(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Split, category and path of every folder of text files."""
    folders = list_folders(root)
    if splits := _splits_of(folders):
        for folder in folders:
            if split := splits.get(folder):
                for category in list_folders(folder):
                    yield split, category.name, category
            else:
                log.warning("Corpus: not read: %s is no split, the folders beside it are", folder)
        return
    inner = [_splits_of(list_folders(category)) for category in folders]
    if all(inner):
        for category, splits in zip(folders, inner, strict=True):
            for folder, split in splits.items():
                yield split, category.name, folder
        return
    yield from _beside_categories(folders)


def _splits_of(folders: list[Path]) -> dict[Path, str]:
    """The folders that are splits; none where they are categories.

    They are splits if their names are all names of splits, or train and a held-out split are among
    them, or each has a word that names one: 'dev-matched'.
    """
    exact = {folder: split for folder in folders if (split := split_named(folder.name))}
    if exact and (len(exact) == len(folders) or _hold_out(exact)):
        return exact
    words = {folder: splits_in(folder.name) for folder in folders}
    loose = {folder: next(iter(named)) for folder, named in words.items() if len(named) == 1}
    return loose if len(loose) == len(folders) and _hold_out(loose) else {}


def _hold_out(splits: dict[Path, str]) -> bool:
    return "train" in splits.values() and not _HELD_OUT.isdisjoint(splits.values())


def _beside_categories(folders: list[Path]) -> Iterator[tuple[str, str, Path]]:
    """Categories of training text, beside which held-out splits of the same categories may stand.

    Raises
    ------
    ErgokedroError
        If a folder with the name of a held-out split may be a category as well.
    """
    held_out = {f: s for f in folders if (s := split_named(f.name)) in _HELD_OUT}
    names = {folder.name for folder in folders if folder not in held_out}
    for folder in folders:
        split = held_out.get(folder)
        if split is None:
            yield "train", folder.name, folder
            continue
        categories = list_folders(folder)
        if not categories or not {category.name for category in categories} <= names:
            raise ErgokedroError(
                f"corpus.source: {folder} has the name of a held-out split, and the folders "
                "beside it are categories. If it is a category, rename it; if it is a split, move "
                f"the others into a folder train, and give {folder.name} a folder per category."
            )
        for category in categories:
            yield split, category.name, category


def _what_is_there(root: Path) -> str:
    endings = {file.suffix.lower() for file in list_files(root)}
    if ".py" in endings and (root / f"{root.name}.py").exists():
        return f" ({root.name}.py, a loading script, is not run: export the data as Parquet)"
    if archives := endings & {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"}:
        return f" ({', '.join(sorted(archives))}: unpack archives)"
    return f" ({', '.join(sorted(filter(None, endings)))})" if endings else " (no file at all)"


def text_documents(files: TextFiles, root: Path) -> Documents:
    """A document per file, labelled by its category's name."""
    labels = sorted({label for members in files.values() for label, _ in members})

    def parts() -> Iterator[Part]:
        for split in READING_ORDER:
            if split in files:
                origin = f"{root} ({split})"
                yield Part(split, origin, read_text_files(files[split], origin))

    return Documents(parts, labels)


def read_text_files(files: list[tuple[str, Path]], origin: str) -> Iterator[pa.RecordBatch]:
    """Batches of (text, category).

    Raises
    ------
    ErgokedroError
        If a file is not UTF-8 text.
    """

    def rows() -> Iterator[Row]:
        for number, (label, file) in enumerate(files, 1):
            yield _read_text(file), label, number

    return batch_rows(rows(), origin, "file")


def _read_text(file: Path) -> str:
    remedy = "Repair it, or leave it out with corpus.text_files, such as '.txt'."
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ErgokedroError(
            f"corpus.source: {file} is not valid UTF-8 ({error.reason} at byte {error.start}). "
            f"{remedy}"
        ) from error
    except OSError as error:
        raise ErgokedroError(
            f"corpus.source: {file} cannot be read ({error.strerror}). {remedy}"
        ) from error
    if text.startswith(LFS_POINTER.decode()):
        raise ErgokedroError(
            f"corpus.source: {file} is not the text but a pointer of Git LFS to it. Fetch it "
            "with `git lfs pull`."
        )
    if text.count("\0") > _MANY_NULS * len(text):
        raise ErgokedroError(f"corpus.source: {file} is binary or UTF-16, not UTF-8. {remedy}")
    return text.removeprefix(_BOM)
