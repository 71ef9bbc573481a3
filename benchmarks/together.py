"""Training of many small runs as one batched model: tokens per second.

    python benchmarks/together.py [--device cpu --small]

Random tokens. On CUDA with and without a graph, and with a compiled loss. The peer is the same runs
one after the other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ergokedro.design.training_windows import TrainingWindows
from ergokedro.models.factory import build_model, model_config
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.training import together
from ergokedro.training.distributed import SingleProcess
from ergokedro.training.job import TrainingJob
from ergokedro.training.step import Stepper

VOCABULARY, WINDOW, BATCH = 4096, 100, 16
# Whether the step is recorded as a CUDA graph, and the loss compiled.
WAYS = {
    "together": (False, False),
    "together, recorded": (True, False),
    "together, recorded and compiled": (True, True),
}


class RandomWindows(TrainingWindows):
    """Windows of random tokens, in the order of their memory."""

    def __init__(self, steps: int):
        rng = np.random.default_rng(0)
        self._tokens = rng.integers(0, VOCABULARY, (steps * BATCH, WINDOW), dtype=np.uint16)

    @property
    def dtype(self) -> np.dtype:
        """Of the tokens."""
        return self._tokens.dtype

    @property
    def window_length(self) -> int:
        """Tokens in a window."""
        return WINDOW

    @property
    def n_windows(self) -> int:
        """Windows in an epoch."""
        return len(self._tokens)

    def epoch(self, epoch: int) -> np.ndarray:
        """First tokens of the windows."""
        return WINDOW * np.arange(self.n_windows)

    def rings(self) -> dict[int, np.ndarray]:
        """All tokens."""
        return {0: self._tokens.reshape(-1)}

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """The windows of one step, any number of times."""
        first = step * batch_size % self.n_windows
        return self._tokens[first : first + batch_size].astype(np.int64)


def measure(step: Callable[[int], object], steps: int, runs: int, device: torch.device) -> float:
    """Tokens per second of all runs, after eight steps that do not count."""
    for index in range(8):
        step(index)
    if device.type == "cuda":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    for index in range(steps):
        step(index)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return steps * runs * BATCH * WINDOW / (time.perf_counter() - begin)


def compare(preset: str, runs: int, steps: int, device: torch.device) -> str:
    """One row of the table: the runs together, in every way of WAYS, and one after the other."""
    windows = RandomWindows(8)
    config = model_config(ModelParameters(preset=preset), VOCABULARY)
    params = TrainingParameters(weight_decay=0.1, compile=False, batch_size=BATCH)
    job = TrainingJob(preset, config, windows, params, seed=0)
    tokens = torch.from_numpy(windows.batch(0, 8 * BATCH)).to(device)
    batches = tokens.view(1, 8, BATCH, WINDOW).expand(runs, -1, -1, -1)
    speeds = []
    for graph, compiled in WAYS.values() if device.type == "cuda" else [(False, False)]:
        models = [build_model(config, seed) for seed in range(runs)]
        of_way = replace(job, params=params.model_copy(update={"compile": compiled}))
        ensemble = together.Ensemble(models, of_way, device, graph=graph)
        speeds.append(
            measure(lambda i, e=ensemble: e.step(batches[:, i % 8], 8e-3), steps, runs, device)  # type: ignore[misc]
        )
    alone = Stepper(job, build_model(config, 0).to(device), SingleProcess())
    speeds.append(measure(lambda i: alone.step(i % 8), steps, 1, device))
    return " | ".join([f"| {preset}, {runs} runs", *(f"{speed:,.0f}" for speed in speeds), ""])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--small", action="store_true", help="two runs, two steps")
    given = parser.parse_args()
    device = torch.device(given.device)
    cases = [("micro", 15), ("micro", 63), ("tiny", 63), ("pythia-14m", 63)]
    columns = list(WAYS) if device.type == "cuda" else ["together"]
    print(" | ".join(["| tokens per second", *columns, "one after the other", ""]))
    for preset, runs in [("micro", 2)] if given.small else cases:
        print(compare(preset, runs, 2 if given.small else 30, device))


if __name__ == "__main__":
    main()
