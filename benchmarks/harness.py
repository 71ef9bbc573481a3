"""Measure peers side by side: alternating, in one run, as medians and their ratios."""

from __future__ import annotations

import gc
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

_PAUSE = 1.0


@dataclass(frozen=True)
class Peer:
    """Something to measure.

    Attributes
    ----------
    name : shown in the table.
    run : does the work once and gives its speed in the benchmark's unit.
    """

    name: str
    run: Callable[[], float]


def compare(peers: Sequence[Peer], unit: str, repeats: int) -> dict[str, float]:
    """Run all peers in turn, `repeats` times; print and give their median speeds.

    The first peer is the one that the ratios are of.
    """
    speeds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for _ in range(repeats):
        for peer in peers:
            gc.collect()
            time.sleep(_PAUSE)  # threads of the peer before may still be reading ahead
            speeds[peer.name].append(peer.run())
    medians = {name: statistics.median(each) for name, each in speeds.items()}
    first = medians[peers[0].name]
    print(f"\n| {'':42} | {unit:>18} | lowest to highest | ratio |")
    print("|---|---|---|---|")
    for name, each in speeds.items():
        extent = f"{_short(min(each))} to {_short(max(each))}"
        median = medians[name]
        print(f"| {name:42} | {_short(median):>18} | {extent} | {first / median:.3g} |")
    return medians


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def describe_machine(*packages: str) -> None:
    """Print the processor, the commit and the versions that a result belongs to."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        processor = f"{len(names)} cores of {names[0]}"
    except (OSError, IndexError):
        pass  # not Linux
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"{processor}; commit {commit or 'unknown'}; Python {platform.python_version()}")
    print(", ".join(f"{package} {version(package)}" for package in packages))
