"""What the measurements of `gpu.py` share: their size, their windows, and the timing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ergokedro.design.mixture import Component, Manifest
from ergokedro.design.training_windows import TrainingWindows
from ergokedro.models.factory import model_config
from ergokedro.parameters import ModelParameters

WINDOW = 100


@dataclass(frozen=True)
class Scale:
    """How large the measurements are.

    Attributes
    ----------
    presets : models whose training is timed.
    vocabulary : tokens; batch: windows per step.
    seconds : of each timed stretch, after warm-up.
    """

    device: torch.device
    presets: tuple[str, ...]
    vocabulary: int
    batch: int
    seconds: float
    repeats: int

    def tokens(self, n: int, seed: int = 0) -> np.ndarray:
        """Random windows, int64 (n, 100)."""
        return np.random.default_rng(seed).integers(self.vocabulary, size=(n, WINDOW))

    def config(self, preset: str) -> dict[str, Any]:
        """Configuration of a preset."""
        return model_config(ModelParameters(preset=preset), self.vocabulary)


class ArrayStore:
    """Tokens in memory, as much of a token store as training windows need."""

    def __init__(self, tokens: np.ndarray):
        self.tokens = tokens


def make_windows(scale: Scale, n: int) -> TrainingWindows:
    """`n` training windows of one component of random tokens."""
    tokens = scale.tokens(n + 1).astype(np.uint16).ravel()
    component = Component(
        label="a", start=0, stop=n * WINDOW, windows=n, available_windows=n, adjusted=False
    )
    manifest = Manifest(
        run="k1",
        k=1,
        window_length=WINDOW,
        within_documents=False,
        total_tokens=n * WINDOW,
        components=[component],
        store="",
        tokenizer="",
    )
    store: Any = ArrayStore(tokens)
    return TrainingWindows(store, manifest, seed=0)


def wait(device: torch.device) -> None:
    """Until the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def rate(step: Callable[[], int], scale: Scale, warm_up: int = 3) -> float:
    """Tokens per second of `step`, which returns its number of tokens."""
    for _ in range(warm_up):
        step()
    wait(scale.device)
    start, tokens = time.perf_counter(), 0
    while time.perf_counter() - start < scale.seconds:
        tokens += step()
    wait(scale.device)
    return tokens / (time.perf_counter() - start)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over the norm of the expected values."""
    difference = found.double().cpu() - expected.double().cpu()
    return float(difference.norm() / expected.double().norm().cpu())
