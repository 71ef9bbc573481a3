"""What the machine offers, and how to use it well."""

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

# A training step of fewer float32 operations gains little from further cores, on which other runs
# can be trained meanwhile: see docs/performance.md.
_SMALL_STEP = 1e10
_CORES = torch.get_num_threads()  # torch's choice, before anything else is asked for

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 2**30


def choose_device(setting: str) -> torch.device:
    """'auto' is a CUDA device where there is one, else the CPU.

    Raises
    ------
    ErgokedroError
        If the device that is asked for is not there.
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
    """bfloat16 arithmetic over float32 weights on CUDA; plain float32 elsewhere.

    On CPUs without native bfloat16 its matrix products are a hundred times slower.
    """
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


@dataclass(frozen=True)
class Machine:
    """What a sweep is computed with.

    Attributes
    ----------
    device : of models and windows.
    threads : torch threads of one run.
    slots : runs that can be computed at a time without sharing a core.
    parallel_runs : runs that are trained at a time.
    operations : float32 operations of one training step.
    """

    device: torch.device
    threads: int
    slots: int
    parallel_runs: int
    operations: float

    def describe(self) -> str:
        """One line: what was chosen, and why."""
        if self.device.type != "cpu":
            return (
                f"Training on {self.device}, one run at a time, in {_PRECISION[self.device.type]}"
            )
        step = f"a step is {self.operations / 1e9:,.1f} G operations"
        size = "small" if self.operations < _SMALL_STEP else "large"
        return (
            f"Training on the CPU in float32, whose matrix products are the fastest there: "
            f"{self.threads} of {_CORES} threads a run ({step}: {size}), runs at a time: "
            f"{self.parallel_runs}"
        )


_PRECISION = {"cuda": "bfloat16 over float32 weights", "mps": "float32"}


def choose_machine(
    params: TrainingParameters, multiplied_weights: int, tokens: int, runs: int = 1
) -> Machine:
    """What `params` ask for, and where they leave it open the best of what is there.

    A run gets one thread where its step is small, else all cores; as many runs as there are cores
    for are trained at a time, and one on a GPU. The threads depend on the run alone and never on
    what runs beside it, since sums in another order differ in their last bits.

    Parameters
    ----------
    multiplied_weights : of the model's matrix products.
    tokens : of one training step.
    runs : in the sweep.

    Raises
    ------
    ErgokedroError
        If the device that is asked for is not there.
    """
    device = choose_device(params.device)
    operations = 6.0 * multiplied_weights * tokens  # forward 2, backward 4 a weight and token
    threads = params.threads or (1 if operations < _SMALL_STEP else _CORES)
    threads = max(1, threads // params.processes)
    used = threads * params.processes
    slots = max(1, _CORES // used) if device.type == "cpu" else 1
    return Machine(
        device, threads, slots, params.parallel_runs or _at_once(runs, slots), operations
    )


def _at_once(runs: int, slots: int) -> int:
    """The least number of equally long runs at a time, `slots` or more, of which the last round
    too fills all slots: three of five on two cores, since the fifth alone would leave one idle.
    After many rounds the last hardly matters."""
    if runs > 4 * slots:
        return slots
    filled = (n for n in range(slots, runs + 1) if runs % n == 0 or runs % n >= slots)
    return next(filled, slots)


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Run the block with so many torch threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Let malloc keep large freed blocks for reuse, where the C library is glibc.

    By default glibc hands each large tensor back to the system as soon as it is freed, and the
    next step pays for mapping and clearing the same pages again.
    """
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    except (OSError, AttributeError, TypeError):
        log.debug("This C library has no mallopt")
