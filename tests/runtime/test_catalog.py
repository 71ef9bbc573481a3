"""The catalog: every dataset of the project has one entry and a file of its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from parse import parse

from ergokedro.pipeline_registry import register_pipelines
from ergokedro.runtime.config_loader import ConfigLoader
from ergokedro.settings import CONFIG_LOADER_ARGS
from project import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:.*register_new_resolver")
ALL = {
    "k": "1-3",
    "controls": {"specialists": True, "subsets": True, "growing": True, "pseudo": True, "seeds": 2},
}


@pytest.fixture(scope="module")
def loader() -> Any:
    """Settings with every control."""
    return ConfigLoader(str(ROOT / "conf"), runtime_params=ALL, **CONFIG_LOADER_ARGS)


def datasets() -> list[str]:
    names = register_pipelines()["__default__"].datasets()
    return sorted(n for n in names if n != "parameters" and not n.startswith("params:"))


def test_no_dataset_becomes_a_memory_dataset(loader: Any) -> None:
    catalog = DataCatalog.from_config(loader["catalog"])
    names = datasets()
    assert len(names) > 200
    for name in names:
        assert name in catalog, name
        assert not isinstance(catalog.get(name), MemoryDataset)


def test_every_dataset_has_one_entry_and_one_file(loader: Any) -> None:
    catalog = DataCatalog.from_config(loader["catalog"])
    entries = loader["catalog"]
    files: Counter[Path] = Counter()
    for name in datasets():
        matches = [entry for entry in entries if entry == name or parse(entry, name)]
        assert len(matches) == 1, (name, matches)
        files[Path(catalog.config_resolver.resolve_pattern(name)["filepath"])] += 1
    assert files.most_common(1)[0][1] == 1


def test_every_entry_has_a_layer_in_kedro_viz(loader: Any) -> None:
    layers = [
        entry["metadata"]["kedro-viz"]["layer"]
        for name, entry in loader["catalog"].items()
        if not name.startswith("_")
    ]
    assert set(layers) == {
        "raw", "intermediate", "primary", "feature", "model_input", "models", "model_output",
        "reporting",
    }  # fmt: skip


def test_other_names_match_nothing(loader: Any) -> None:
    catalog = DataCatalog.from_config(loader["catalog"])
    for name in ("model", "k1", "k1.weights", "nll", "k1_model", "manifest"):
        assert name not in catalog
