"""Registries: they map the names that settings use to entries, such as controls or models.

A module outside the package registers an entry with the same call as those inside. The setting
`plugins` names such modules; they are imported before settings are checked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from ergokedro.errors import ErgokedroError

Entry = TypeVar("Entry")
_plugins: list[str] = []


class Registry(Mapping[str, Entry]):
    """Entries of one kind by name, in the order in which they were registered.

    Parameters
    ----------
    setting : the setting that chooses an entry, such as 'training.optimizer'; for messages.
    """

    def __init__(self, setting: str):
        self.setting = setting
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, entry: Entry) -> Entry:
        """Add `entry` under `name`, and return it.

        Raises
        ------
        ErgokedroError
            If another entry has this name.
        """
        if self._entries.get(name, entry) is not entry:
            raise ErgokedroError(f"{self.setting}: two entries are registered as {name!r}.")
        self._entries[name] = entry
        return entry

    def add(self, name: str) -> Callable[[Entry], Entry]:
        """A decorator that registers a function or class under `name`."""
        return lambda entry: self.register(name, entry)

    def __getitem__(self, name: str) -> Entry:
        """The entry of this name.

        Raises
        ------
        ErgokedroError
            If there is none; the message lists the known names.
        """
        return self._entries[name] if name in self._entries else self.missing(name)

    def missing(self, name: str) -> Entry:
        """Give the entry for a name that is not registered, or raise an error, as here.

        Raises
        ------
        ErgokedroError
            With the names that are registered.
        """
        raise ErgokedroError(
            f"{self.setting} = {name!r} is unknown. Known: {', '.join(self._entries)}. "
            "A module that registers another one is named by the setting plugins."
        )

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def load_plugins(setting: str) -> None:
    """Import the modules that the setting `plugins` names, so that they can register entries.

    Parameters
    ----------
    setting : names of modules, joined by '+'.

    Raises
    ------
    ErgokedroError
        If one of them cannot be imported.
    """
    for module in filter(None, (part.strip() for part in setting.split("+"))):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ErgokedroError(
                f"plugins: the module {module!r} cannot be imported ({error}). Put it into src/, "
                "install its package, or add its folder to PYTHONPATH."
            ) from error
        if module not in _plugins:
            _plugins.append(module)


def loaded_plugins() -> str:
    """The modules that were loaded as plugins, in the form of the setting, for other processes."""
    return "+".join(_plugins)
