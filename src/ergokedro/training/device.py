"""The choice of device, precision, threads and number of runs at the same time."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import TrainingParameters

log = logging.getLogger(__name__)

# A training step of fewer float32 operations gains little from more cores, on which other runs can
# be trained at the same time: see docs/performance.md.
_SMALL_STEP = 1e10
# Two runs share a GPU if a step has fewer: two of pythia-14m with 256 windows (1.2e12) train 1.8
# times the tokens of one.
_SMALL_GPU_STEP = 2e12
_CORES = torch.get_num_threads()  # torch's choice, before it is changed

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 2**30


def choose_device(setting: str) -> torch.device:
    """The torch device that the setting `training.device` names.

    Parameters
    ----------
    setting : 'cpu', 'cuda', 'mps', or 'auto': a CUDA device if there is one, else the CPU.

    Raises
    ------
    ErgokedroError
        If the machine has no such device.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    name = ("cuda" if available["cuda"] else "cpu") if setting == "auto" else setting
    if not available[name]:
        raise ErgokedroError(
            f"training.device = {setting!r}, but this machine has none; set it to 'auto'."
        )
    return torch.device(name)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which matrix products are computed in bfloat16 on CUDA; in float32 elsewhere.

    Weights stay float32. On CPUs without native bfloat16, its matrix products are a hundred times
    slower.
    """
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def compiles(setting: bool | None, device: torch.device) -> bool:
    """Whether functions of a training step are compiled.

    Parameters
    ----------
    setting : `training.compile`; None compiles on CUDA alone, where launching many small kernels
        takes longer than their work.
    """
    return device.type == "cuda" if setting is None else setting


@dataclass(frozen=True)
class Machine:
    """The device of a sweep, and how its runs share the device and the cores.

    Attributes
    ----------
    device : of models and windows.
    threads : torch threads per run and process.
    slots : runs that can be computed at the same time without sharing a core.
    parallel_runs : runs that are trained at the same time.
    operations : float32 operations per training step.
    runs_per_gpu : runs that share a GPU where a cluster trains them.
    """

    device: torch.device
    threads: int
    slots: int
    parallel_runs: int
    operations: float
    runs_per_gpu: int = 1

    def describe(self) -> str:
        """One line: what was chosen, and why."""
        if self.device.type != "cpu":
            return (
                f"Training on {self.device} in {_PRECISION[self.device.type]}; runs at a time: "
                f"{self.parallel_runs}"
            )
        size = "small" if self.operations < _SMALL_STEP else "large"
        return (
            f"Training on the CPU in float32; runs at a time: {self.parallel_runs}; "
            f"{self.threads} of {_CORES} threads per run (a step is "
            f"{self.operations / 1e9:,.1f} G operations: {size})"
        )


_PRECISION = {"cuda": "bfloat16 over float32 weights", "mps": "float32"}


def choose_machine(
    params: TrainingParameters, multiplied_weights: int, tokens: int, runs: int = 1
) -> Machine:
    """Choose device, threads and parallel runs: as `params` say, else what is fastest.

    A run gets one thread if its step is small, else all cores. As many runs as there are cores for
    are trained at the same time; one on a GPU. The threads depend on the run alone and never on
    what runs beside it, since sums in another order differ in their last bits.

    Parameters
    ----------
    multiplied_weights : weights in the model's matrix products per token.
    tokens : per training step.
    runs : in the sweep.

    Raises
    ------
    ErgokedroError
        If the machine has no such device.
    """
    device = choose_device(params.device)
    operations = 6.0 * multiplied_weights * tokens  # per weight and token: forward 2, backward 4
    threads = params.threads or (1 if operations < _SMALL_STEP else _CORES)
    threads = max(1, threads // params.processes)
    used = threads * params.processes
    slots = max(1, _CORES // used) if device.type == "cpu" else 1
    parallel_runs = params.parallel_runs or _parallel_runs(runs, slots)
    per_gpu = params.runs_per_gpu or (2 if operations < _SMALL_GPU_STEP else 1)
    return Machine(device, threads, slots, parallel_runs, operations, per_gpu)


def _parallel_runs(runs: int, slots: int) -> int:
    """The smallest number of equally long runs at the same time that leaves no slot idle.

    On two cores three of five, since the fifth run alone would leave a core idle. After many rounds
    the last one hardly matters.
    """
    if runs > 4 * slots:
        return slots
    filled = (n for n in range(slots, runs + 1) if runs % n == 0 or runs % n >= slots)
    return next(filled, slots)


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Run the block with this number of torch threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Let malloc keep large freed blocks for reuse, if the C library is glibc.

    By default glibc returns each large tensor to the system as soon as it is freed, and the next
    step takes time for mapping and clearing the same pages again.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    except (OSError, AttributeError, TypeError):
        log.debug("This C library has no mallopt")
