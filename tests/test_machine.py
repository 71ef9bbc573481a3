"""Devices, precision and threads."""

from __future__ import annotations

import ctypes

import pytest
import torch

from ergokedro.errors import ErgokedroError
from ergokedro.machine import autocast, choose_device, cpu_threads, keep_freed_memory


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
    with cpu_threads(before + 1) as threads:
        assert threads == torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with cpu_threads(None) as threads:
        assert threads == before


def test_a_c_library_without_mallopt_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_freed_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed_memory()
