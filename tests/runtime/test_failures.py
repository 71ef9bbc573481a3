"""Errors of the machine become one message that says what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from kedro.io import DatasetError

from ergokedro.errors import ErgokedroError
from ergokedro.runtime.failures import plain_error


def failed(number: int, file: str) -> DatasetError:
    """What Kedro raises where a dataset met an error of the system."""
    try:
        try:
            raise OSError(number, os.strerror(number), file)
        except OSError as error:
            raise DatasetError("Failed while saving data") from error
    except DatasetError as error:
        return error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk(number: int) -> None:
    plain = plain_error(failed(number, "/project/data/tokens.bin"))
    assert plain is not None
    assert plain.message.startswith("The disk is full")
    assert "/project/data/tokens.bin" in plain.message
    assert "data_root" in plain.message


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_each_folder_has_its_setting(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("ERGOKEDRO_CACHE", str(tmp_path / "cache"))
    for folder, setting in (
        ("hub", "HF_HOME"),
        ("cache", "ERGOKEDRO_CACHE"),
        ("data", "data_root"),
    ):
        plain = plain_error(failed(number, str(tmp_path / folder / "file")))
        assert plain is not None
        assert plain.message.startswith("Access is denied")
        assert setting in plain.message


def test_a_defect_is_none_of_these() -> None:
    assert plain_error(ValueError("a defect")) is None
    assert plain_error(None) is None
    error = DatasetError("Failed")
    error.__cause__ = ErgokedroError("Set k to 3.")
    assert plain_error(error) is error.__cause__
