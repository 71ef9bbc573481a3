"""What Kedro's settings file decides: how much is logged."""

from __future__ import annotations

import importlib
import logging
import warnings

import pytest


def apply_settings() -> None:
    with warnings.catch_warnings():  # the filters are the process's own
        importlib.reload(importlib.import_module("ergokedro.settings"))


@pytest.mark.parametrize(
    ("chosen", "own", "nodes"),
    [
        ("quiet", "WARNING", "WARNING"),
        ("normal", "WARNING", "WARNING"),
        ("verbose", "DEBUG", "INFO"),
    ],
)
def test_how_much_is_logged(
    monkeypatch: pytest.MonkeyPatch, chosen: str, own: str, nodes: str
) -> None:
    monkeypatch.setenv("ERGOKEDRO_LOG", chosen)
    logging.getLogger("ergokedro").setLevel(logging.NOTSET)  # the root's: WARNING
    apply_settings()
    levels = [logging.getLogger(name).getEffectiveLevel() for name in ("ergokedro.x", "kedro.x")]
    assert levels == [logging.getLevelName(own), logging.getLevelName(nodes)]


def test_an_unknown_level_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERGOKEDRO_LOG", "loud")
    with pytest.warns(UserWarning, match="ERGOKEDRO_LOG = 'loud' is none of quiet, normal, verb"):
        importlib.reload(importlib.import_module("ergokedro.settings"))
