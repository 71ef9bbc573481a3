"""Shuffled windows of 100 tokens as int64 batches of 256, beside what people use for them.

    python benchmarks/loading.py [--megatokens 100]

All peers read the same tokens (random, in a file that is in the page cache) and deliver batches of
the same shape; slow ones deliver fewer. The store of a vocabulary of 128,256 tokens, as Llama 3's,
holds uint32; all other peers read that of Pythia's 50,277 tokens, uint16. The limits: copying the
same tokens sequentially, as they are, and into int64 batches without any shuffle.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.data.token_store import TOKENS, TokenStore, seal_store, token_dtype
from ergokedro.design.accounting import token_accounting
from ergokedro.design.mixture import design_mixtures, make_manifest
from ergokedro.design.runs import chain
from ergokedro.design.training_windows import TrainingWindows
from ergokedro.parameters import MixtureParameters
from harness import Peer, compare, describe_machine

WINDOW, BATCH = 100, 256
VOCABULARY, LARGE_VOCABULARY = 50_277, 128_256
_EPOCHS = 3  # so that a measurement of ours takes long enough


def make_store(path: Path, n_tokens: int, vocabulary: int) -> TokenStore:
    """Five categories of documents of 1,000 tokens, with short held-out splits."""
    path.mkdir()
    rng = np.random.default_rng(0)
    rng.integers(vocabulary, size=n_tokens, dtype=token_dtype(vocabulary)).tofile(path / TOKENS)
    labels = [f"c{i}" for i in range(5)]
    n = n_tokens // 1000
    split = np.repeat(["train", "validation", "test"], [n - 20, 10, 10])
    held_out = np.tile(np.repeat(labels, 2), 2)
    label = np.concatenate([np.sort(np.resize(labels, n - 20)), held_out])
    index = pd.DataFrame({"split": split, "label": label, "length": 1000})
    index.insert(0, "document", np.arange(n))
    index["offset"] = index.document * 1000
    index["content_hash"] = "0" * 32
    counts = index.groupby(["split", "label"]).size()
    cleaning = [
        {"split": s, "label": c, "status": "kept", "documents": int(d), "tokens": int(d) * 1000}
        for (s, c), d in counts.items()
    ]
    meta = {
        "labels": labels,
        "vocab_size": vocabulary,
        "end_of_text": 0,
        "inputs": {"tokenizer": "", "corpus": ""},
        "corpus": {},
        "cleaning": cleaning,
    }
    seal_store(path, index, meta)
    return TokenStore(path)


def timed(batches: Callable[[], Iterable[Any]], windows: int) -> Callable[[], float]:
    """Deliver batches until there were so many windows; windows a second."""

    def run() -> float:
        start, n = time.perf_counter(), 0
        for batch in batches():
            n += len(batch)
            if n >= windows:
                break
        return n / (time.perf_counter() - start)

    return run


def ours(store: TokenStore, *, block: bool) -> Peer:
    """The project's loader, with the making of the order."""
    mixture = MixtureParameters(top_n=5)
    design = design_mixtures(store, token_accounting(store), mixture)
    manifest = make_manifest(store, design, chain(5))

    def batches() -> Iterable[np.ndarray]:
        windows = TrainingWindows(store, manifest, seed=0, block_shuffle=block)
        yield from windows.batches(BATCH, _EPOCHS)

    name = f"ergokedro, {store.dtype}" + (", block shuffle" if block else "")
    return Peer(name, timed(batches, _EPOCHS * manifest.total_windows))


def copies(tokens: np.ndarray) -> list[Peer]:
    """The same tokens in order: as they are, and as int64 batches."""
    n = len(tokens) // (WINDOW * BATCH) * WINDOW * BATCH

    def plain() -> float:
        start = time.perf_counter()
        for i in range(0, n, WINDOW * BATCH):
            tokens[i : i + WINDOW * BATCH].copy()
        return n / WINDOW / (time.perf_counter() - start)

    def widened() -> float:
        start = time.perf_counter()
        for i in range(0, n, WINDOW * BATCH):
            tokens[i : i + WINDOW * BATCH].astype(np.int64)
        return n / WINDOW / (time.perf_counter() - start)

    return [Peer("limit: copy in order", plain), Peer("limit: copy in order, to int64", widened)]


def get_batch(tokens: np.ndarray) -> Peer:
    """In the manner of nanoGPT: random starts, one slice for each, stacked. (Not an epoch.)"""
    import torch

    def batches() -> Iterable[Any]:
        while True:
            starts = torch.randint(len(tokens) - WINDOW, (BATCH,))
            yield torch.stack(
                [torch.from_numpy(tokens[i : i + WINDOW].astype(np.int64)) for i in starts]
            )

    return Peer("get_batch in nanoGPT's manner", timed(batches, 100_000))


def datasets_loader(tokens: np.ndarray) -> Peer:
    """`datasets` in torch format, shuffled by PyTorch's DataLoader."""
    from torch.utils.data import DataLoader

    import datasets

    n = min(len(tokens) // WINDOW, 200_000)
    rows = tokens[: n * WINDOW].reshape(n, WINDOW).astype(np.int64)
    data = datasets.Dataset.from_dict({"ids": rows}).with_format("torch")
    loader = DataLoader(data, batch_size=BATCH, shuffle=True)
    return Peer("datasets (torch) + DataLoader", timed(lambda: (b["ids"] for b in loader), 50_000))


def grain_loader(tokens: np.ndarray) -> Peer:
    """grain: a shuffled map-style data set of windows, batched."""
    import grain

    view = tokens[: len(tokens) // WINDOW * WINDOW].reshape(-1, WINDOW)

    class Source:
        def __len__(self) -> int:
            return len(view)

        def __getitem__(self, index: int) -> np.ndarray:
            return view[index].astype(np.int64)

    data = grain.MapDataset.source(Source()).shuffle(seed=0).batch(BATCH)
    return Peer("grain.MapDataset", timed(data.to_iter_dataset, 50_000))


def main() -> None:
    """Compare; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megatokens", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    describe_machine("numpy", "torch", "datasets", "grain")
    with tempfile.TemporaryDirectory() as directory:
        n_tokens = args.megatokens * 1_000_000
        store = make_store(Path(directory) / "store", n_tokens, VOCABULARY)
        large = make_store(Path(directory) / "large", n_tokens, LARGE_VOCABULARY)
        tokens = np.array(store.tokens)
        peers = [
            ours(store, block=False),
            ours(store, block=True),
            ours(large, block=False),
            ours(large, block=True),
            *copies(tokens),
            get_batch(tokens),
            datasets_loader(tokens),
            grain_loader(tokens),
        ]
        compare(peers, "windows/s", args.repeats)


if __name__ == "__main__":
    main()
