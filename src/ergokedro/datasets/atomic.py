"""Kedro's datasets for tables and text, written in one step and in UTF-8.

Kedro writes into the file itself, so that a crash or a full disk leaves half of one, and in the
machine's own encoding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from kedro.io import AbstractDataset
from kedro_datasets import json, pandas, plotly, text

from ergokedro.files import atomic_file
from ergokedro.remote import is_remote

_UTF8 = {"mode": "w", "encoding": "utf-8"}


class _Atomic(AbstractDataset[Any, Any]):
    """Goes before a dataset of Kedro's: the same, but a local file is replaced when complete."""

    def __init__(self, *, filepath: str, **options: Any):
        super().__init__(filepath=filepath, **options)
        self.path = str(filepath)
        self._options = options

    def save(self, data: Any) -> None:
        """Write `data` to a file that then replaces the former one."""
        if is_remote(self.path):
            super().save(data)
            return
        with atomic_file(Path(self.path)) as work:
            super(_Atomic, type(self)(filepath=str(work), **self._options)).save(data)


class ParquetDataset(_Atomic, pandas.ParquetDataset):
    """A table as Parquet."""


class CSVDataset(_Atomic, pandas.CSVDataset):
    """A table as CSV. A text that spells a missing value, such as NA or null, is a text.

    Pandas quotes texts with the line's own end in them alone, and reads three others as one.
    """

    DEFAULT_SAVE_ARGS: ClassVar[dict[str, Any]] = {"index": False, "lineterminator": "\n"}
    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {
        "keep_default_na": False,
        "na_values": [""],
        "lineterminator": "\n",
    }
    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {"open_args_save": _UTF8}


class JSONDataset(_Atomic, json.JSONDataset):
    """A JSON value."""

    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {"open_args_save": _UTF8}


class TextDataset(_Atomic, text.TextDataset):
    """Text."""

    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {
        "open_args_save": _UTF8,
        "open_args_load": {"mode": "r", "encoding": "utf-8"},
    }


class PlotlyDataset(_Atomic, plotly.JSONDataset):
    """An interactive figure as JSON."""
