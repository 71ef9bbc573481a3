"""Catalog entries that load as light handles on files, so that no data is copied into memory."""

from __future__ import annotations

import base64
from abc import abstractmethod
from pathlib import Path
from typing import Any, NewType

from kedro.io import AbstractDataset

from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.processes import MapTasks, map_in_processes
from ergokedro.data.sources import CorpusStream
from ergokedro.data.token_store import TokenStore, open_store
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import Tokenizer, TokenizerDefinition, save_tokenizer
from ergokedro.design.nll import NLLArrays, load_nll, save_nll
from ergokedro.files import atomic_file, recover_directory, write_atomic
from ergokedro.remote import RemoteCopy, RemoteFolder, is_remote
from ergokedro.reporting.figures.chart import Chart
from ergokedro.reporting.figures.static import COLUMN, SLIDE, draw_chart
from ergokedro.reporting.text import visible

# Kedro-Viz chooses how to show a preview by the name of its type.
ImagePreview = NewType("ImagePreview", str)


class HandleDataset(AbstractDataset[Any, Any]):
    """A path, a way to write to it and a way to open it.

    At an fsspec URL, such as `s3://bucket/store`, data are written to and opened in a local copy,
    which is uploaded or downloaded when they have changed.
    """

    # Whether `write` reuses what is at the path rather than replacing it.
    reuses = False

    def __init__(
        self,
        filepath: str,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        """`credentials` and `fs_args` are those of the URL's fsspec file system."""
        self.storage_options = {**(credentials or {}), **(fs_args or {})}
        self._remote = RemoteCopy(filepath, self.storage_options) if is_remote(filepath) else None
        self._filepath = self._remote.local if self._remote else Path(filepath)
        self.metadata = metadata

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._remote:  # perhaps on another machine
            self._filepath = self._remote.local

    @abstractmethod
    def write(self, path: Path, data: Any) -> None:
        """Write `data` to `path`, atomically."""

    @abstractmethod
    def open(self, path: Path) -> Any:
        """Open what was written to `path`."""

    def save(self, data: Any) -> None:
        """Write `data`."""
        # Never over unfinished work of an interrupted run, which the writer resumes.
        if self._remote and self.reuses and self._remote.unused and self._remote.exists():
            self._remote.pull()
        self.write(self._filepath, data)
        if self._remote:
            self._remote.push()

    def local(self) -> Path:
        """The path, on this machine, of what was written."""
        if self._remote:
            return self._remote.pull()
        recover_directory(self._filepath)
        return self._filepath

    def load(self) -> Any:
        """Open what was written."""
        return self.open(self.local())

    def _exists(self) -> bool:
        if self._remote:
            return self._remote.exists()
        recover_directory(self._filepath)
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._remote.url if self._remote else str(self._filepath)}


class CorpusDataset(HandleDataset):
    """Saves a stream of documents as Parquet; loads a handle on it."""

    reuses = True

    def write(self, path: Path, data: CorpusStream) -> None:
        """Read the source into the cache."""
        write_corpus(path, data)

    def open(self, path: Path) -> Corpus:
        """A handle on the cache."""
        return Corpus(path)


class TokenizerDataset(HandleDataset):
    """Saves a tokenizer's definition to a directory; loads a handle on it."""

    def write(self, path: Path, data: TokenizerDefinition) -> None:
        """Write the definition."""
        save_tokenizer(path, data)

    def open(self, path: Path) -> Tokenizer:
        """A handle on the tokenizer."""
        return Tokenizer(path)


class TokenStoreDataset(HandleDataset):
    """Saves a plan by tokenizing it; loads a handle whose every byte was checked."""

    reuses = True
    # What encodes blocks where `corpus.processes` is above 1; a runner may set another one.
    map_tasks: MapTasks = staticmethod(map_in_processes)

    def write(self, path: Path, data: TokenizationPlan) -> None:
        """Tokenize and write the store, or resume from its finished blocks."""
        write_store(path, data, self.map_tasks)

    def open(self, path: Path) -> TokenStore:
        """A checked handle on the store."""
        return open_store(path)


class ModelDataset(HandleDataset):
    """A model as a directory of config.json and weights, in the form of its architecture."""

    def write(self, path: Path, data: Any) -> None:
        """Write config.json and safetensors."""
        from ergokedro.models.factory import save_model

        save_model(path, data)

    def open(self, path: Path) -> Any:
        """Read the weights."""
        from ergokedro.models.factory import load_model

        return load_model(path)


class ModelCardDataset(HandleDataset):
    """A model's README.md, and the files that go with it into the model's directory."""

    def write(self, path: Path, data: dict[str, str]) -> None:
        """Write texts by their file names, the card last: it says that the directory is whole."""
        for name in sorted(data, key=lambda name: name == path.name):
            write_atomic(path.with_name(name), data[name].encode())

    def open(self, path: Path) -> str:
        """The card."""
        return path.read_text(encoding="utf-8")


class FolderDataset(HandleDataset):
    """A folder, which may not exist yet, in which nodes keep work to resume from.

    For a URL it is the local copy: such work stays on the machine that does it, unless somebody
    copies it by means of `remote`.
    """

    @property
    def remote(self) -> RemoteFolder | None:
        """The folder at the URL, if it is one."""
        if self._remote is None:
            return None
        return RemoteFolder(self._remote.url, self.storage_options, self._filepath)

    def load(self) -> Path:
        """The folder's path."""
        return self.open(self._filepath)

    def write(self, path: Path, data: Any) -> None:
        """Refuse: nodes write into the folder themselves."""
        raise NotImplementedError(f"{path} is an input only.")

    def open(self, path: Path) -> Path:
        """The folder's path."""
        return path

    def _exists(self) -> bool:
        return True  # a folder that does not exist is an empty one


class NLLDataset(HandleDataset):
    """NLL arrays as one `.npz` file."""

    def write(self, path: Path, data: NLLArrays) -> None:
        """Write the arrays."""
        save_nll(path, data)

    def open(self, path: Path) -> NLLArrays:
        """Read the arrays."""
        return load_nll(path)


class FigureDataset(HandleDataset):
    """A chart as NAME.png and NAME.svg in the size of a slide, NAME_column.png and .svg in that of
    a column of a paper, and its numbers as NAME.csv; a matplotlib figure as PNG and SVG.

    Loads as the first PNG's bytes, for the report.
    """

    def write(self, path: Path, data: Any) -> None:
        """Write all files; equal figures give equal bytes."""
        if not isinstance(data, Chart):
            _write_pictures(path, data, {})
            return
        texts = {"Title": data.title, "Description": data.describe()}
        _write_pictures(path, draw_chart(data, SLIDE), texts | {"Comment": data.note})
        column = path.with_stem(f"{path.stem}_column")
        _write_pictures(column, draw_chart(data, COLUMN), texts, dpi=300)
        with atomic_file(path.with_suffix(".csv")) as table:
            data.data().to_csv(table, index=False, encoding="utf-8")

    def open(self, path: Path) -> bytes:
        """The PNG file's content."""
        return path.read_bytes()

    def preview(self) -> ImagePreview:
        """The picture, for Kedro-Viz."""
        return ImagePreview(base64.b64encode(self.load()).decode())


def _write_pictures(path: Path, figure: Any, texts: dict[str, str], dpi: int = 150) -> None:
    """A matplotlib figure as PNG and SVG, with its title and what it shows as metadata."""
    from matplotlib import rc_context

    _round_layout(figure)
    texts = {name: visible(text) for name, text in texts.items()}
    of_svg = {name: text for name, text in texts.items() if name != "Comment"}
    with atomic_file(path) as png, atomic_file(path.with_suffix(".svg")) as svg:
        figure.savefig(png, dpi=dpi, format="png", metadata=texts)
        with rc_context({"svg.hashsalt": "ergokedro"}):
            figure.savefig(svg, metadata={"Date": None, **of_svg}, format="svg")


def _round_layout(figure: Any) -> None:
    """Round the positions of all axes to a millionth of the figure.

    The solver of the constrained layout differs in the last bits from process to process, and an
    SVG file names its clip paths by a hash of all bits.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(value, 6) for value in axes.get_position(original=True).bounds])
