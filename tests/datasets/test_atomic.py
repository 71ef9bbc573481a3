"""Tables, text and JSON in the catalog: complete, in UTF-8, shown by Kedro-Viz."""

from __future__ import annotations

import builtins
import inspect
from pathlib import Path
from typing import Any

import kedro_datasets._typing
import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DatasetError

from ergokedro.datasets import atomic
from ergokedro.datasets.handles import FigureDataset
from ergokedro.datasets.model_json import ModelJSONDataset
from project import ROOT

LABELS = pd.DataFrame({"label": ["ü", "数学", "a,b"], "xe": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize(
    ("dataset", "data"),
    [
        (atomic.ParquetDataset, LABELS),
        (atomic.CSVDataset, LABELS),
        (atomic.JSONDataset, {"label": "ü数"}),
        (atomic.TextDataset, "ü数\n"),
    ],
)
def test_what_was_saved_is_loaded_on_a_machine_of_another_encoding(
    tmp_path: Path, dataset: Any, data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ascii_open(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "b" not in mode and len(rest) < 2:
            options.setdefault("encoding", "ascii")
        return original(file, mode, *rest, **options)

    original = builtins.open
    monkeypatch.setattr("builtins.open", ascii_open)
    save = {"save_args": {"index": False}} if dataset is atomic.CSVDataset else {}
    saved = dataset(filepath=str(tmp_path / "deep" / "file"), **save)
    assert not saved.exists()
    saved.save(data)
    assert saved.exists()
    loaded = saved.load()
    assert loaded.equals(data) if isinstance(data, pd.DataFrame) else loaded == data
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("entry", "column"),
    [
        ("token_accounting", "label"),
        ("xe_table", "components"),
        ("budgets", "component"),
        ("near_duplicates", "near_label"),
        ("near_duplicates", "text"),
    ],
)
def test_any_name_of_a_category_comes_back_from_the_catalog(
    tmp_path: Path, entry: str, column: str
) -> None:
    names = [
        "NA", "N/A", "null", "nan", "None", "-inf", "01", "1e5", "1.10", "True", "2021-01-01",
        "a,b", 'q"q', "one\ntwo", "a\rb", "a\r\nb", "#x", "a\tb", "ü", "数学", "\u2028", "'", "\\",
    ]  # fmt: skip
    catalog = yaml.safe_load((ROOT / "conf" / "base" / "catalog.yml").read_text(encoding="utf-8"))
    settings = {name: catalog[entry][name] for name in ("load_args", "save_args")}
    dataset = atomic.CSVDataset(filepath=str(tmp_path / "file.csv"), **settings)
    for part in (names, *([name] for name in names)):  # alone, pandas guesses a type from it
        table = pd.DataFrame({column: part, "value": [0.5, *range(1, len(part))]})
        table.loc[1:, "value"] = np.nan
        dataset.save(table)
        pd.testing.assert_frame_equal(dataset.load(), table, check_dtype=False)


def test_a_failed_save_leaves_the_former_content(tmp_path: Path) -> None:
    dataset = atomic.JSONDataset(filepath=str(tmp_path / "file"))
    dataset.save({"a": 1})
    with pytest.raises(DatasetError, match="serializable"):
        dataset.save({"a": 2, "b": object()})
    assert dataset.load() == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("dataset", [FigureDataset, ModelJSONDataset])
def test_kedro_viz_knows_the_types_of_previews(dataset: Any) -> None:
    """It chooses how to show one by the name of its type, which Kedro keeps to itself."""
    name = inspect.signature(dataset.preview, eval_str=True).return_annotation.__name__
    assert hasattr(kedro_datasets._typing, name), (
        f"Kedro has renamed the preview type {name}: rename it in ergokedro.datasets, too"
    )
