"""Why a run by several processes has failed; whole runs: end_to_end/test_several_processes.py."""

from __future__ import annotations

import pickle

import pytest

from ergokedro.runtime.ray_group import GroupError, LostProcessError, _failure
from ergokedro.runtime.ray_worker import Failure
from ergokedro.training.distributed import LostContactError


def test_a_lost_process_is_no_failure_of_the_run() -> None:
    with pytest.raises(LostProcessError, match=r"\[0, 1\]"):
        _failure({0: LostContactError("closed by peer"), 1: RuntimeError("the actor died")})


def test_what_one_process_says_is_the_reason() -> None:
    reason = Failure("The disk is full", node="7f")
    sent = pickle.loads(pickle.dumps(GroupError(reason)))
    assert _failure({0: LostContactError("closed by peer"), 1: sent}) == reason
    with pytest.raises(ZeroDivisionError):  # a defect
        _failure({0: GroupError(ZeroDivisionError())})
