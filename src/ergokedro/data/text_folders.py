"""Text files in a folder per category: `<category>/…/<file>` or `<split>/<category>/…/<file>`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ergokedro.errors import ErgokedroError

# Of a record batch; a single longer file is a batch of its own.
_BATCH_FILES, _BATCH_CHARACTERS = 256, 2**23


def find_text_files(root: Path, pattern: str) -> dict[str, list[tuple[str, Path]]]:
    """Category and path of every file, by the name of its split, in the order of their names.

    Without folders of splits, everything belongs to `train`. Hidden files are left out.

    Parameters
    ----------
    pattern : glob, from the folder of a category on.

    Raises
    ------
    ErgokedroError
        If no category has a matching file.
    """
    folders = _folders(root)
    splits = {"train", "validation", "test"}
    by_split = bool(folders) and {folder.name for folder in folders} <= splits
    roots = {folder.name: folder for folder in folders} if by_split else {"train": root}
    files = {
        split: [
            (category.name, file)
            for category in _folders(folder)
            for file in sorted(category.glob(pattern))
            if file.is_file() and not any(p.startswith(".") for p in file.relative_to(root).parts)
        ]
        for split, folder in roots.items()
    }
    if not any(files.values()):
        raise ErgokedroError(
            f"corpus.source = {str(root)!r}: no file <category>/{pattern} is there. Give each "
            "category a folder of text files, or set corpus.text_files to the glob that they match."
        )
    return files


def read_text_files(files: list[tuple[str, Path]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches of (text, category).

    Raises
    ------
    ErgokedroError
        If a file is not UTF-8.
    """
    texts: list[str] = []
    labels: list[str] = []
    characters = 0
    for label, file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ErgokedroError(
                f"{file} is not valid UTF-8 ({error.reason} at byte {error.start}). Mend it, or "
                "leave it out with corpus.text_files, such as '**/*.txt'."
            ) from error
        texts.append(text)
        labels.append(label)
        characters += len(text)
        if len(texts) == _BATCH_FILES or characters >= _BATCH_CHARACTERS:
            yield pa.record_batch([texts, labels], schema=schema)
            texts, labels, characters = [], [], 0
    if texts:
        yield pa.record_batch([texts, labels], schema=schema)


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
