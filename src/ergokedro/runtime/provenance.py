"""What each dataset was made from, so that `--only-missing-outputs` keeps no outdated result.

The dataset `provenance` maps every dataset of the experiment to a key: the fingerprint of the node
that made it, the settings that the node received and the keys of its inputs. A dataset is up to
date if the present settings give the same key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kedro.io import CatalogProtocol, DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from ergokedro import __version__
from ergokedro.files import fingerprint, flatten
from ergokedro.parameters import MACHINE_SETTINGS

NAME = "provenance"
# Settings that change no result.
_IRRELEVANT = {
    "experiment",
    "experiments",
    "shared_data",
    "grid",
    "plan",
    "largest_sweep",
    *(f"training.{name}" for name in MACHINE_SETTINGS),
}


class Provenance:
    """The keys of an experiment's datasets; several threads and processes may change them.

    Parameters
    ----------
    parameters : all settings, as nested dictionaries.
    alone : makes a context in which no other process changes the keys.
    """

    def __init__(
        self,
        catalog: CatalogProtocol,
        parameters: dict[str, Any],
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        self._catalog = catalog
        self._settings = {
            name: value
            for name, value in flatten(parameters).items()
            if not any(f"{name}.".startswith(f"{prefix}.") for prefix in _IRRELEVANT)
        }
        self._alone, self._lock = alone, threading.Lock()
        self._keys = self._load()

    def _load(self) -> dict[str, str]:
        try:
            return self._catalog.load(NAME) if self._catalog.exists(NAME) else {}
        except DatasetError:  # damaged: everything counts as outdated
            return {}

    def outdated(self, pipeline: Pipeline) -> Pipeline:
        """The nodes whose outputs are missing or made from something else, and those after them."""
        keys: dict[str, str] = dict(self._keys)
        outdated: list[Node] = []
        new: set[str] = set()
        for node in pipeline.nodes:  # in topological order
            key = self._key(node, keys)
            keys |= dict.fromkeys(node.outputs, key)
            current = all(
                self._keys.get(name) == key and self._catalog.exists(name) for name in node.outputs
            )
            if not current or new & set(node.inputs):
                outdated.append(node)
                new |= set(node.outputs)
        return Pipeline(outdated)

    def forget(self, datasets: Iterable[str]) -> None:
        """Drop the keys of datasets that are about to be made again."""
        forgotten = set(datasets)
        if forgotten & self._keys.keys():
            self._change(lambda keys: {n: k for n, k in keys.items() if n not in forgotten})

    def add(self, dataset: str, node: Node) -> None:
        """Record that `node` has made `dataset`."""
        self._change(lambda keys: dict(sorted({**keys, dataset: self._key(node, keys)}.items())))

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        with self._lock, self._alone():
            self._keys = change(self._load())
            self._catalog.save(NAME, self._keys)

    def _key(self, node: Node, keys: Mapping[str, str]) -> str:
        settings: dict[str, Any] = {}
        inputs: dict[str, str | None] = {}
        for name in node.inputs:
            if name == "parameters" or name.startswith("params:"):
                settings |= self._below(name.removeprefix("params:"))
            else:
                inputs[name] = keys.get(name)
        return fingerprint(
            {"node": node.name, "version": __version__, "settings": settings, "inputs": inputs}
        )

    def _below(self, group: str) -> dict[str, Any]:
        """The settings of one group such as 'training', or of all for 'parameters'."""
        return {
            name: value
            for name, value in self._settings.items()
            if group == "parameters" or f"{name}.".startswith(f"{group}.")
        }
