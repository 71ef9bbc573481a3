"""Node, catalog entries and section of a figure come from the one object that is registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from ergokedro.analysis.controls import plan_experiment
from ergokedro.pipelines import analysis, data_processing, mixture_design, training
from ergokedro.reporting.figures import FIGURES
from ergokedro.reporting.pictures import Picture
from how_to import run_page
from project import ROOT
from synthetic_results import make_results

pytestmark = pytest.mark.filterwarnings("ignore:register_new_resolver")  # of Kedro itself
ALL_CONTROLS = {
    "specialists": True, "subsets": True, "growing": True, "pseudo": True, "seeds": 2,
}  # fmt: skip


@pytest.fixture
def own_figure(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The figure of docs/howto/extend-figure.md, registered while the test runs."""
    monkeypatch.setattr(FIGURES, "_entries", dict(FIGURES))
    return run_page("extend-figure.md")


def make_catalog(folder: Path) -> DataCatalog:
    """The project's catalog, with its data in a folder."""
    loader = OmegaConfigLoader(str(ROOT / "conf"), base_env="base", default_run_env="base")
    loader["globals"] = {"experiment": "synthetic", "data_root": "data"}
    config = loader["catalog"]
    for entry in config.values():
        if "filepath" in entry:  # those of all experiments together have a path of another name
            entry["filepath"] = str(folder / entry["filepath"])
    return DataCatalog.from_config(config)


def all_pipelines() -> Pipeline:
    runs = plan_experiment([1, 2, 3], 3, ALL_CONTROLS)
    parts = (
        data_processing.create_pipeline(),
        mixture_design.create_pipeline(runs),
        training.create_pipeline(runs),
        analysis.create_pipeline(runs),
    )
    return Pipeline([node for part in parts for node in part.nodes])


def test_every_dataset_has_the_entry_meant_for_it(
    tmp_path: Path, own_figure: dict[str, Any]
) -> None:
    resolver = make_catalog(tmp_path).config_resolver
    figures = {name for figure, spec in FIGURES.items() for name in spec.outputs(figure)}
    assert {"token_accounting.figure", "xe_by_k.figure", "gain_by_k.plotly"} <= figures
    datasets = {name for name in all_pipelines().datasets() if not name.startswith("param")}
    assert figures <= datasets
    for name in datasets:
        pattern = resolver.match_dataset_pattern(name)
        assert pattern or name in resolver.config, f"{name} would be kept in memory alone"
        expected = f"{{name}}.{name.split('.')[-1]}"
        assert (pattern == expected) == (name in figures), (name, pattern)
    for name in ("figure", "plotly", "figures.a", "k1.figure.a", "k1.model"):
        assert resolver.match_dataset_pattern(name) not in {"{name}.figure", "{name}.plotly"}


def test_a_figure_from_outside_is_drawn_saved_and_reported(
    tmp_path: Path, own_figure: dict[str, Any]
) -> None:
    pipeline = analysis.create_pipeline(plan_experiment([1, 2], 2, {}))
    (drawing,) = pipeline.only_nodes("plot_gain_by_k").nodes
    catalog = make_catalog(tmp_path)
    for name, value in drawing.run({"results": make_results()}).items():
        catalog.save(name, value)
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    endings = (".png", ".svg", ".csv", ".json", "_column.png", "_column.svg")
    assert files == {f"gain_by_k{ending}" for ending in endings}
    assert catalog.load("gain_by_k.figure").startswith(b"\x89PNG")
    (report,) = pipeline.only_nodes("write_report").nodes
    assert {"gain_by_k.figure", "gain_by_k.plotly"} <= set(report.inputs)
    picture = Picture.read("gain_by_k", "In-context gain", catalog.load("gain_by_k.figure"))
    assert picture.title.startswith("The in-context gain is ")
    assert "nats per token" in picture.note
    assert picture.alt.startswith(picture.title)
    table = pd.read_csv(next(tmp_path.rglob("gain_by_k.csv")))
    assert list(table.columns) == ["label", "x", "value", "low", "high"]
    assert len(table) == 10
