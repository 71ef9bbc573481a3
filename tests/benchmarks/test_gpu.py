"""The measurements of a GPU, made on the CPU."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from project import ROOT


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module benchmarks/gpu.py."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("gpu")


def check(results: dict[str, Any]) -> None:
    """Everything was measured, and what should be equal is."""
    assert not [name for name, values in results.items() if "failed" in values]
    assert results["parity"] == {"loss": 0, "gradients": 0, "nll": 0}
    assert set(results["resume"].values()) == {0}
    assert results["device windows"]["equal to the host's"]
    speeds = results["training micro"]
    assert {"ergokedro, eager", "transformers' model in a plain loop"} <= set(speeds)
    assert all(speed > 0 for speed in speeds.values())


def test_every_measurement_is_made(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HF Trainer and without other processes."""
    monkeypatch.setattr(gpu, "trainer_rate", lambda scale, preset: 1.0)
    monkeypatch.setattr(gpu, "two_at_a_time", lambda scale, preset: {"1 at a time": 1.0})
    scale = gpu.Scale(torch.device("cpu"), ("micro",), 256, batch=2, seconds=0.01, repeats=1)
    recorded: list[int] = []
    results = gpu.measure(scale, lambda done: recorded.append(len(done)))
    assert recorded == [*range(1, len(results) + 1)]
    check(results)
    page = gpu.markdown(results, "a CPU")
    assert page.startswith("a CPU\n")
    assert "| resumed against uninterrupted | 0 |" in page


@pytest.mark.slow
def test_the_command_writes_its_results(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(
        [
            *(sys.executable, ROOT / "benchmarks" / "gpu.py"),
            *("--device", "cpu", "--small", "--out", tmp_path),
        ],
        env=environment,
        check=True,
    )
    results = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert "CPU" in results.pop("machine")
    check(results)
    assert "| 2 at a time |" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
