"""Devices, precision and threads."""

from __future__ import annotations

import ctypes

import pytest
import torch

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import TrainingParameters
from ergokedro.training import device
from ergokedro.training.device import (
    autocast,
    choose_device,
    choose_machine,
    cpu_threads,
    keep_freed_memory,
)


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert choose_device("auto").type == name
    assert choose_device("cpu").type == "cpu"


def test_a_missing_device_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ErgokedroError, match=r"training\.device = 'cuda'.*'auto'"):
        choose_device("cuda")


def test_a_cpu_computes_in_float32() -> None:
    with autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_threads_are_set_and_given_back() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_threads_and_parallel_runs(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    """Small models leave the cores to each other, large ones take them all; settings win."""
    monkeypatch.setattr(device, "_CORES", cores)
    params = TrainingParameters(device="cpu")
    small = choose_machine(params, 460_000, 800)
    assert (small.threads, small.parallel_runs) == (1, cores)
    large = choose_machine(params, 7_600_000, 3200)
    assert (large.threads, large.parallel_runs) == (cores, 1)
    asked = params.model_copy(update={"threads": 2})
    assert choose_machine(asked, 460_000, 800).threads == 2
    assert choose_machine(asked, 460_000, 800).parallel_runs == max(1, cores // 2)
    asked = params.model_copy(update={"parallel_runs": 3})
    assert choose_machine(asked, 7_600_000, 3200).parallel_runs == 3
    assert "2.2 G operations: small" in small.describe()
    assert "float32" in large.describe()


@pytest.mark.parametrize(("cores", "threads", "slots"), [(1, 1, 1), (2, 1, 1), (8, 4, 1)])
def test_processes_share_the_threads(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int, slots: int
) -> None:
    monkeypatch.setattr(device, "_CORES", cores)
    chosen = choose_machine(TrainingParameters(device="cpu", processes=2), 7_600_000, 3200)
    assert (chosen.threads, chosen.slots) == (threads, slots)


@pytest.mark.parametrize(
    ("cores", "runs", "at_once"),
    [(1, 5, 1), (2, 5, 3), (2, 6, 2), (2, 7, 4), (2, 37, 2), (4, 5, 5), (4, 9, 5), (4, 3, 4)],
)
def test_no_core_idles_in_the_last_round(
    monkeypatch: pytest.MonkeyPatch, cores: int, runs: int, at_once: int
) -> None:
    monkeypatch.setattr(device, "_CORES", cores)
    params = TrainingParameters(device="cpu")
    chosen = choose_machine(params, 460_000, 800, runs)
    assert (chosen.slots, chosen.parallel_runs, chosen.threads) == (cores, at_once, 1)
    asked = params.model_copy(update={"parallel_runs": 2})
    assert choose_machine(asked, 460_000, 800, runs).parallel_runs == 2


def test_a_gpu_trains_one_run_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    chosen = choose_machine(TrainingParameters(), 460_000, 800, runs=5)
    assert (chosen.device.type, chosen.parallel_runs) == ("cuda", 1)
    assert "cuda in bfloat16 over float32 weights; runs at a time: 1" in chosen.describe()


def test_a_c_library_without_mallopt_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed_memory()
