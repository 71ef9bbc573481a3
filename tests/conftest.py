"""Small stores, designs and manifests for tests of what is built on them."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ergokedro.data.token_store import TOKENS, TokenStore, open_store, seal_store, token_dtype
from ergokedro.design.nll import ExactNLL
from project import Project
from synthetic_results import make_exact, make_windows

# Test processes run side by side. OpenMP's threads spin while they wait for each other, which
# keeps the one that they wait for off a shared processor. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


# A test run in the background of a shell, or under nohup, inherits ignored signals; so would the
# programs that it starts, and tests of signals would wait for ever.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_signal) == signal.SIG_IGN:
        signal.signal(_signal, _handler)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> None:
    """Importing Kedro sets up logging for the whole process: undo it, so that order is nothing."""
    for name, level in (("", logging.WARNING), ("kedro", 0), ("ergokedro", 0)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        own = ("rich", "kedro", "ergokedro")
        logger.handlers[:] = [h for h in logger.handlers if not type(h).__module__.startswith(own)]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A project in which everything was run once, and what that printed; to be left as it is.

    The first test process that needs it makes it for all of them.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    output = folder / "finished.txt"
    with (folder / "finished.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if output.exists():
            return Project(folder / "finished"), output.read_text(encoding="utf-8")
        project = Project.create(folder / "finished")
        output.write_text(project.run(), encoding="utf-8")
    return project, output.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def windows() -> pd.DataFrame:
    """The windows of synthetic results; not to be changed."""
    return make_windows()


@pytest.fixture(scope="session")
def exact(windows: pd.DataFrame) -> ExactNLL:
    """The exact optimum on these windows."""
    return make_exact(windows)


Lengths = dict[tuple[str, str], list[int]]
StoreMaker = Callable[[Lengths], TokenStore]


def write_range_store(
    path: Path, lengths: Lengths, vocab_size: int = 65_000, tokens: np.ndarray | None = None
) -> TokenStore:
    """A store whose token i is i modulo `vocab_size`, with documents of the given lengths.

    Keys are (split, label) in the store's order; lengths count the end-of-text token. `tokens` are
    taken instead where they are given.
    """
    path.mkdir(parents=True)
    index = pd.DataFrame(
        [(s, label, n) for (s, label), each in lengths.items() for n in each],
        columns=["split", "label", "length"],
    )
    index.insert(0, "document", np.arange(len(index)))
    index["offset"] = index.length.cumsum() - index.length
    index["content_hash"] = [f"{i:032x}" for i in range(len(index))]
    if tokens is None:
        tokens = np.arange(index.length.sum()) % vocab_size
    tokens.astype(token_dtype(vocab_size)).tofile(path / TOKENS)
    counts = index.groupby(["split", "label"], sort=False).length.agg(["count", "sum"])
    seal_store(
        path,
        index,
        {
            "labels": list(dict.fromkeys(label for _, label in lengths)),
            "vocab_size": vocab_size,
            "end_of_text": 0,
            "inputs": {"tokenizer": "tokenizer", "corpus": "corpus"},
            "corpus": {},
            "cleaning": [  # counts tokens without the end-of-text token of every document
                {
                    "split": s,
                    "label": c,
                    "status": "kept",
                    "documents": int(n),
                    "tokens": int(t - n),
                }
                for (s, c), (n, t) in zip(counts.index, counts.to_numpy(), strict=True)
            ],
        },
    )
    return open_store(path)


@pytest.fixture
def make_store(tmp_path: Path) -> StoreMaker:
    """Makes stores, each in a directory of its own."""
    made = 0

    def make(lengths: Lengths) -> TokenStore:
        nonlocal made
        made += 1
        return write_range_store(tmp_path / f"store{made}", lengths)

    return make
