"""The two columns of a table that hold the documents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ergokedro.errors import ErgokedroError

_SHOWN, _SHOWN_CHARACTERS = 12, 40


@dataclass(frozen=True)
class Columns:
    """The columns that are read from a table, and the names of class numbers in one of them.

    Attributes
    ----------
    text, label : names of the columns.
    class_names : names of class numbers, for files that do not name them; None if there are none.
    advice : what else to do where one of the two is missing.
    """

    text: str
    label: str
    class_names: list[str] | None = None
    advice: str = ""

    def name(self, label: str) -> str | None:
        """The category of a label that is written as text, which may be a number with a name."""
        names = self.class_names
        if names is None or label in names or not label.strip().isdecimal():
            return label
        return names[int(label)] if int(label) < len(names) else None

    def check(self, present: Iterable[str], origin: str, hint: str = "") -> None:
        """Raise if one of the two columns is missing, or stands there twice."""
        names = list(present)
        for column in (self.text, self.label):
            if column not in names:
                listed = [name[:_SHOWN_CHARACTERS] for name in names[:_SHOWN]]
                listed += ["…"] if len(names) > _SHOWN else []
                raise ErgokedroError(
                    f"corpus.source: {origin} has no column {column!r}; it has {listed}. Set "
                    f"corpus.text_column and corpus.label_column.{hint}{self.advice}"
                )
            if names.count(column) > 1:
                raise ErgokedroError(
                    f"corpus.source: {origin} has {names.count(column)} columns {column!r}. Give "
                    "them different names."
                )
