"""What the machine offers, and how to use it well."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)

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


@contextmanager
def cpu_threads(threads: int | None) -> Iterator[int]:
    """Run the block with so many torch threads (None: as it is); gives the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield torch.get_num_threads()
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
