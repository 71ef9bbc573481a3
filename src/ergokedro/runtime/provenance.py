"""What each dataset was made from, so that `--only-missing-outputs` keeps no outdated result.

The dataset `provenance` maps every dataset of the experiment to a key: the fingerprint of the node
that made it, the settings that the node received and the keys of its inputs; for the corpus, also
of the content of its source. A dataset is up to date if the present settings and the present
content give the same key.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kedro.io import CatalogProtocol, DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from ergokedro import __version__
from ergokedro.data.sources import corpus_stream
from ergokedro.errors import ErgokedroError
from ergokedro.files import fingerprint, flatten
from ergokedro.parameters import MACHINE_SETTINGS, CorpusParameters
from ergokedro.runtime.config_loader import current_parameters

log = logging.getLogger(__name__)

NAME = "provenance"
# Between two writes of the keys, which take milliseconds for a thousand runs. A command that is
# killed loses those of the last second: what they stand for counts as outdated.
_PAUSE_SECONDS = 1.0
# Settings that change no result.
_IRRELEVANT = {
    "experiment",
    "experiments",
    "shared_data",
    "grid",
    "plan",
    "largest_sweep",
    "corpus.processes",
    *(f"training.{name}" for name in MACHINE_SETTINGS),
}


class Provenance:
    """The keys of an experiment's datasets; several threads and processes may change them.

    Parameters
    ----------
    parameters : all settings, as nested dictionaries.
    alone : makes a context in which no other process changes the keys.
    contents : by dataset, a function that gives what identifies the content that the dataset would
        be read from now, a JSON value; for datasets from outside the catalog.
    """

    def __init__(
        self,
        catalog: CatalogProtocol,
        parameters: dict[str, Any],
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
        contents: Mapping[str, Callable[[], Any]] | None = None,
    ):
        self._catalog = catalog
        self._settings = {
            name: value
            for name, value in flatten(parameters).items()
            if not any(f"{name}.".startswith(f"{prefix}.") for prefix in _IRRELEVANT)
        }
        self._alone, self._lock = alone, threading.Lock()
        self._contents = contents or {}
        self._keys = self._load()
        self._made: list[tuple[str, Node, Any]] = []  # not written yet
        self._written = -_PAUSE_SECONDS

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
            contents = [self._contents[name]() for name in node.outputs if name in self._contents]
            key = self._key(node, keys, contents[0] if contents else None)
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

    def add(self, dataset: str, node: Node, content: Any = None) -> None:
        """Record that `node` has made `dataset`, from `content` outside the catalog.

        It is written at the latest with the first change after a second, or by :meth:`write`.
        """
        with self._lock:
            self._made.append((dataset, node, content))
        if time.monotonic() - self._written >= _PAUSE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write all that was recorded."""
        if self._made:
            self._change(lambda keys: keys)

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        with self._lock, self._alone():
            keys = change(self._load())
            for dataset, node, content in self._made:
                keys[dataset] = self._key(node, keys, content)
            self._keys, self._made = dict(sorted(keys.items())), []
            self._catalog.save(NAME, self._keys)
            self._written = time.monotonic()

    def _key(self, node: Node, keys: Mapping[str, str], content: Any = None) -> str:
        settings: dict[str, Any] = {}
        inputs: dict[str, str | None] = {}
        for name in node.inputs:
            if name == "parameters" or name.startswith("params:"):
                settings |= self._below(name.removeprefix("params:"))
            else:
                inputs[name] = keys.get(name)
        made_from = {"settings": settings, "inputs": inputs}
        if content is not None:
            made_from["content"] = content
        return fingerprint({"node": node.name, "version": __version__, **made_from})

    def _below(self, group: str) -> dict[str, Any]:
        """The settings of one group such as 'training', or of all for 'parameters'."""
        return {
            name: value
            for name, value in self._settings.items()
            if group == "parameters" or f"{name}.".startswith(f"{group}.")
        }


def outside(catalog: CatalogProtocol) -> dict[str, Callable[[], Any]]:
    """The datasets that are read from outside the catalog: the corpus."""
    return {"corpus": lambda: _corpus_content(catalog, current_parameters().corpus)}


def _corpus_content(catalog: CatalogProtocol, params: CorpusParameters) -> Any:
    """What identifies the documents that the corpus's source holds now.

    Where the source cannot be read any more, those that the corpus was made from.
    """
    try:
        return corpus_stream(params).key
    except ErgokedroError as error:
        if not catalog.exists("corpus"):
            raise
        log.warning("%s The corpus that was read from it before is used.", error.message)
        return catalog.load("corpus").provenance["key"]
