"""What is said of a sweep before it starts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node

from ergokedro.design.mixture import Manifest
from ergokedro.models import presets
from ergokedro.runtime import plan
from ergokedro.runtime.config_loader import ConfigLoader
from ergokedro.settings import CONFIG_LOADER_ARGS
from project import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:.*register_new_resolver")


@pytest.mark.parametrize(
    ("settings", "tokens", "warned"),
    [
        ({}, 300_000, False),
        ({}, 8_000_000, True),
        ({"model": {"preset": "pythia-70m"}}, 300_000, True),
        ({"model": {"preset": "pythia-70m"}, "training": {"learning_rate": 1e-3}}, 300_000, False),
    ],
)
def test_a_learning_rate_far_from_its_evidence_is_a_warning(
    settings: dict[str, Any],
    tokens: int,
    warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Complete parameters do not tell whether somebody has set the rate."""
    presets._warn_once.cache_clear()
    monkeypatch.setattr(plan, "_steps_done", lambda *_: {})
    ConfigLoader(str(ROOT / "conf"), runtime_params=settings, **CONFIG_LOADER_ARGS)
    manifest = Manifest(
        run="k1", k=1, window_length=100, within_documents=False, total_tokens=tokens,
        components=[], store="", tokenizer="",
    )  # fmt: skip
    catalog = DataCatalog(
        {
            "k1.manifest": MemoryDataset(manifest),
            "tokenizer": MemoryDataset(SimpleNamespace(vocab_size=512)),
        }
    )
    sweep = {"k1": Pipeline([node(lambda data: data, "data", "k1.model")])}
    machine = SimpleNamespace(describe=lambda: "a machine")
    answer: Any = SimpleNamespace(machine=machine, describe=lambda: "a plan")
    assert plan.announce(sweep, catalog, lambda *_: answer) is answer
    assert sum("sweeps at widths" in r.getMessage() for r in caplog.records) == warned
