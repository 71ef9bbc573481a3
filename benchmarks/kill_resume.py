"""Kill training at random moments, start it again, and compare its end with an undisturbed run's.

Every start does what `kedro run --pipelines training` does for one K: train, save the model, its
curves and summary, evaluate, save the NLL arrays. It is killed by SIGKILL after a random time, so
while it starts, steps, writes a checkpoint, saves or evaluates. The process is forked from one in
which everything is imported; that costs milliseconds instead of seconds.

    python benchmarks/kill_resume.py --kills 100
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import math
import os
import random
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

# Forked processes must not inherit threads, and small models want none.
os.environ["OMP_NUM_THREADS"] = "1"

import torch

from ergokedro.analysis import measurement  # noqa: F401  now, not in every process
from ergokedro.data.token_store import TOKENS, TokenStore, open_store, seal_store, token_dtype
from ergokedro.design import mixture
from ergokedro.design.accounting import token_accounting
from ergokedro.design.evaluation_windows import choose_evaluation_windows
from ergokedro.design.nll import save_nll
from ergokedro.design.runs import chain
from ergokedro.models.factory import build_model, model_config, save_model
from ergokedro.parameters import (
    CheckpointParameters,
    EvaluationParameters,
    MixtureParameters,
    ModelParameters,
    TrainingParameters,
)
from ergokedro.pipelines.training import nodes
from ergokedro.training import trainer  # noqa: F401  now, not in every process

_VOCABULARY = 128
_MODEL = ModelParameters(hidden_size=32, num_layers=2)
_DOCUMENTS = {"train": 5, "validation": 2, "test": 2}
_TRAINING = TrainingParameters(
    epochs=2,
    batch_size=4,
    optimizer="muon",  # besides AdamW's state, its own
    log_points=15,
    validation_points=7,
    validation_windows=2,
    device="cpu",
    threads=1,
    checkpoints=CheckpointParameters(every=3, keep_last=2, log_spaced=True),
)
_MEASURED = {"seconds", "tokens_per_second"}


@dataclass(frozen=True)
class Job:
    """One K on a small store of random tokens."""

    store: TokenStore
    manifest: mixture.Manifest
    windows: pd.DataFrame

    @classmethod
    def create(cls, path: Path) -> Job:
        """Write the store into `path`."""
        store = _write_store(path)
        design = mixture.design_mixtures(store, token_accounting(store), MixtureParameters(top_n=2))
        windows = choose_evaluation_windows(store, design, EvaluationParameters())
        return cls(store, mixture.make_manifest(store, design, chain(2)), windows)

    def run(self, folder: Path) -> None:
        """Train and evaluate as the pipeline does, with all results in `folder`."""
        tokenizer: Any = SimpleNamespace(vocab_size=_VOCABULARY, fingerprint="tokenizer")
        shared = self.store, tokenizer, self.manifest, self.windows
        checkpoints = folder / "checkpoints"
        model, history, summary = nodes.train_model(*shared, _MODEL, _TRAINING, 0, checkpoints)
        save_model(folder / "model", model)
        history.to_csv(folder / "history.csv", index=False)
        (folder / "summary.json").write_text(summary.model_dump_json(), "utf-8")
        arrays = nodes.evaluate_model(
            model, summary, *shared, EvaluationParameters(), _TRAINING, checkpoints
        )
        save_nll(folder / "nll.npz", arrays)


def _write_store(path: Path) -> TokenStore:
    path.mkdir()
    keys = [(s, label) for s, n in _DOCUMENTS.items() for label in "ab" for _ in range(n)]
    index = pd.DataFrame(keys, columns=["split", "label"])
    index.insert(0, "document", np.arange(len(index)))
    index["length"] = 900
    index["offset"] = index.length.cumsum() - index.length
    index["content_hash"] = [f"{i:032x}" for i in index.document]
    tokens = np.random.default_rng(0).integers(1, _VOCABULARY, index.length.sum())
    tokens.astype(token_dtype(_VOCABULARY)).tofile(path / TOKENS)
    counts = index.groupby(["split", "label"], sort=False).length.agg(["count", "sum"])
    cleaning = [
        {"split": s, "label": c, "status": "kept", "documents": int(n), "tokens": int(t)}
        for (s, c), (n, t) in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    meta = {
        "labels": ["a", "b"],
        "vocab_size": _VOCABULARY,
        "end_of_text": 0,
        "inputs": {"tokenizer": "tokenizer", "corpus": "corpus"},
        "corpus": {},
        "cleaning": cleaning,
    }
    seal_store(path, index, meta)
    return open_store(path)


def start(job: Job, folder: Path) -> int:
    """Run `job` in a new process; give its id."""
    folder.mkdir(exist_ok=True)
    if process := os.fork():
        return process
    status = 1
    try:
        logging.basicConfig(level=logging.INFO, filename=folder / "log", force=True)
        job.run(folder)
        status = 0
    except BaseException:
        logging.exception("failed")
    finally:
        os._exit(status)


def killed(process: int, after: float, unfinished: Path | None = None) -> bool:
    """Kill `process` after so many seconds, or not if it ends by itself before.

    With `unfinished`, the kill waits for the next moment at which a file in that folder, or a
    folder, is being written.
    """
    deadline = time.monotonic() + after
    while time.monotonic() < deadline or (unfinished and not _writing(unfinished)):
        if os.waitpid(process, os.WNOHANG)[0]:
            return False
        time.sleep(0.0005)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


def _writing(folder: Path) -> bool:
    """Is something half-written there, other than what an earlier kill left?"""
    with suppress(FileNotFoundError):  # finished since it was listed
        return any(time.time() - p.stat().st_mtime < 0.01 for p in folder.rglob("*.partial"))
    return False


def result(folder: Path) -> dict[str, Any]:
    """All that a run ends in, without what it measured of its own speed."""
    history = (folder / "history.csv").read_text("utf-8").splitlines()
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    return {
        "weights": (folder / "model" / "model.safetensors").read_bytes(),
        "nll": (folder / "nll.npz").read_bytes(),
        "history": [line for line in history if line.split(",")[2] not in _MEASURED],
        "summary": {name: value for name, value in summary.items() if name not in _MEASURED},
    }


def check(folder: Path, expected: dict[str, Any]) -> None:
    """Exit with a message if a run did not end as `expected`."""
    log = (folder / "log").read_text("utf-8")
    if "Traceback" in log:
        raise SystemExit(f"A run failed:\n{log}")
    found = result(folder)
    if different := [name for name in expected if found[name] != expected[name]]:
        raise SystemExit(f"{', '.join(different)} differ:\n{log}")


def main() -> None:
    """Kill, compare and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as root:
        job = Job.create(Path(root) / "store")
        # What transformers does once in a process.
        save_model(Path(root) / "first", build_model(model_config(_MODEL, _VOCABULARY), 0))
        gc.freeze()  # collecting would copy all memory that is shared with this process
        undisturbed = Path(root) / "undisturbed"
        begin = time.monotonic()
        if killed(start(job, undisturbed), after=math.inf):
            raise SystemExit("The undisturbed run does not end.")
        seconds = time.monotonic() - begin
        expected = result(undisturbed)
        kills = runs = writing = resumed = 0
        while kills < arguments.kills:
            folder = Path(root) / f"run{runs}"
            in_writing = rng.random() < 0.5
            while kills < arguments.kills and killed(
                start(job, folder), rng.uniform(0, seconds), folder if in_writing else None
            ):
                kills += 1
                writing += in_writing
                in_writing = rng.random() < 0.5
            if killed(start(job, folder), after=math.inf):
                raise SystemExit(f"A run does not end: {(folder / 'log').read_text('utf-8')}")
            check(folder, expected)
            runs += 1
            resumed += (folder / "log").read_text("utf-8").count("resumes from step")
    print(
        f"{kills} kills in {runs} runs of {seconds:.2f} s, {writing} of them while a file was "
        f"written; {resumed} times a run resumed from a checkpoint; every end is bit-identical"
    )


if __name__ == "__main__":
    main()
