"""Training of many small runs as one batched model: tokens per second, with and without CUDA graph.

    python benchmarks/together.py [--device cpu --small]

Random tokens. On a CPU there is no graph, and the peer is the same runs one after the other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

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


class RandomWindows(TrainingWindows):
    """Windows of random tokens."""

    def __init__(self, steps: int):
        self._tokens = np.random.default_rng(0).integers(0, VOCABULARY, (steps * BATCH, WINDOW))

    @property
    def window_length(self) -> int:
        """Tokens in a window."""
        return WINDOW

    @property
    def n_windows(self) -> int:
        """Windows in an epoch."""
        return len(self._tokens)

    def batch(self, step: int, batch_size: int) -> np.ndarray:
        """The windows of one step, any number of times."""
        first = step * batch_size % self.n_windows
        return self._tokens[first : first + batch_size]


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
    """One row of the table: the runs together, in both ways, and one after the other."""
    windows = RandomWindows(8)
    params = TrainingParameters(weight_decay=0.1, compile=False, batch_size=BATCH)
    config = model_config(ModelParameters(preset=preset), VOCABULARY)
    job = TrainingJob(preset, config, windows, params, seed=0)
    tokens = torch.from_numpy(windows.batch(0, 8 * BATCH)).to(device)
    batches = tokens.view(1, 8, BATCH, WINDOW).expand(runs, -1, -1, -1)
    speeds = []
    for graph in (False, True) if device.type == "cuda" else (False,):
        models = [build_model(config, seed) for seed in range(runs)]
        ensemble = together.Ensemble(models, job, device, graph=graph)
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
    columns = ["together, recorded"] if device.type == "cuda" else []
    print(" | ".join(["| tokens per second", "together", *columns, "one after the other", ""]))
    for preset, runs in [("micro", 2)] if given.small else cases:
        print(compare(preset, runs, 2 if given.small else 30, device))


if __name__ == "__main__":
    main()
