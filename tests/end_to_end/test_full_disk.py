"""Everything that is written, on disks that are too small in many ways: one message, nothing half
written, and success as soon as there is space."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from ergokedro.data.cleaning import clean_documents
from ergokedro.data.corpus import Corpus, write_corpus
from ergokedro.data.sources import corpus_stream
from ergokedro.data.token_store import open_store
from ergokedro.data.tokenization import TokenizationPlan, write_store
from ergokedro.data.tokenizer import define_tokenizer, save_tokenizer
from ergokedro.datasets import atomic
from ergokedro.datasets.handles import FigureDataset
from ergokedro.models.factory import build_model, load_model, model_config, save_model
from ergokedro.parameters import (
    CorpusParameters,
    ModelParameters,
    SyntheticParameters,
    TokenizerParameters,
)
from ergokedro.runtime.failures import plain_error
from ergokedro.training.checkpoint import read_checkpoint, write_checkpoint

SIZES = [2**n for n in range(3, 13)]  # KiB
CORPUS = CorpusParameters(
    synthetic=SyntheticParameters(
        components=2, words_per_document=300, train_documents=60, heldout_documents=8
    )
)


@dataclass
class Disk:
    """A small file system."""

    path: Path

    def resize(self, kib: int) -> None:
        """Change its size."""
        subprocess.run(["mount", "-o", f"remount,size={kib}k", str(self.path)], check=True)

    def files(self) -> set[str]:
        """Its files, but for the finished blocks of a store, from which work resumes."""
        files = {str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file()}
        return {file for file in files if ".blocks" not in file}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system in memory, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZES[0]}k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system cannot be mounted here (only root may)")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TokenizationPlan:
    folder = tmp_path_factory.mktemp("plan")
    corpus = write_corpus(folder / "corpus", corpus_stream(CORPUS))
    documents = clean_documents(corpus)
    definition = define_tokenizer(TokenizerParameters(), corpus, documents)
    return TokenizationPlan(corpus, documents, save_tokenizer(folder / "t", definition), 0)


def fill(disk: Disk, write: Callable[[Path], Any], smallest: int = SIZES[0]) -> int:
    """Write to larger and larger disks until it succeeds; give the number of failures."""
    for failures, size in enumerate(size for size in SIZES if size >= smallest):
        disk.resize(size)
        before = disk.files()
        error = attempt(lambda: write(disk.path / "result"))
        if error is None:
            return failures
        message = plain_error(error)
        assert message is not None, repr(error)
        assert message.message.startswith("The disk is full"), message.message
        assert str(disk.path) in message.message
        assert disk.files() == before
    raise AssertionError("never written")


def attempt(write: Callable[[], Any]) -> Exception | None:
    """What `write` raises."""
    try:
        write()
    except Exception as error:
        return error
    return None


def test_a_corpus(disk: Disk) -> None:
    assert fill(disk, lambda path: write_corpus(path, corpus_stream(CORPUS))) > 0
    assert Corpus(disk.path / "result").rows["train"] > 60


def test_a_tokenizer(disk: Disk, plan: TokenizationPlan) -> None:
    definition = define_tokenizer(TokenizerParameters(), plan.corpus, plan.documents)
    assert fill(disk, lambda path: save_tokenizer(path, definition)) > 0


def test_a_token_store(disk: Disk, plan: TokenizationPlan) -> None:
    """Its tokens are written through a memory map, where a full disk would be fatal."""
    assert fill(disk, lambda path: write_store(path, plan)) > 0
    assert open_store(disk.path / "result").meta["inputs"] == plan.inputs
    assert not list(disk.path.rglob("*.block"))


def test_a_model(disk: Disk) -> None:
    model = build_model(model_config(ModelParameters(preset="micro", hidden_size=32), 512), seed=0)
    assert fill(disk, lambda path: save_model(path, model)) > 0
    assert load_model(disk.path / "result").config == model.config


def test_a_checkpoint_beside_an_earlier_one(disk: Disk) -> None:
    def write(path: Path, value: float, n: int) -> None:
        write_checkpoint(path, {"model.weight": torch.full((n,), value)}, {"step": 1})

    disk.resize(64)
    write(disk.path / "earlier", 1.0, 5000)
    assert fill(disk, lambda path: write(path, 2.0, 50_000), smallest=64) > 0
    assert read_checkpoint(disk.path / "earlier").tensors["model.weight"][0] == 1.0
    assert read_checkpoint(disk.path / "result").tensors["model.weight"][0] == 2.0


TABLE = pd.DataFrame({"a": np.random.default_rng(0).random(30_000)})
TEXT = "".join(map(str, range(50_000)))
FIGURE: dict[str, Any] = {"data": [{"y": list(range(30_000))}]}


@pytest.mark.parametrize(
    ("dataset", "data"),
    [
        (atomic.ParquetDataset, TABLE),
        (atomic.CSVDataset, TABLE),
        (atomic.TextDataset, TEXT),
        (atomic.JSONDataset, {"text": TEXT}),
        (atomic.PlotlyDataset, FIGURE),
        (FigureDataset, None),
    ],
)
def test_a_dataset(disk: Disk, dataset: Any, data: Any) -> None:
    if dataset is FigureDataset:
        data = Figure()
        data.subplots().plot(TABLE.a[:2000])
    if dataset is atomic.PlotlyDataset:
        from plotly.graph_objects import Figure as PlotlyFigure

        data = PlotlyFigure(data)
    assert fill(disk, lambda path: dataset(filepath=str(path)).save(data)) > 0
    assert dataset(filepath=str(disk.path / "result")).load() is not None


def test_a_failed_write_leaves_the_former_file(disk: Disk) -> None:
    disk.resize(256)
    dataset = atomic.JSONDataset(filepath=str(disk.path / "result"))
    dataset.save({"text": "former"})
    with pytest.raises(Exception, match="No space left"):
        dataset.save({"text": TEXT * 4})
    assert dataset.load() == {"text": "former"}
