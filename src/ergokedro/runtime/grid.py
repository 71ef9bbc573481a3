"""A grid: the whole experiment at several totals D and model sizes N, and one report on all."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.io import CatalogProtocol
from omegaconf import OmegaConf

from ergokedro.design.runs import run_name
from ergokedro.parameters import Parameters
from ergokedro.runtime.config_loader import current_parameters, experiment_name
from ergokedro.runtime.console import where_results_are
from ergokedro.runtime.sweep import SweepSession

log = logging.getLogger(__name__)
_OF_POINTS = ["mixture_design", "training", "analysis"]


@dataclass(frozen=True)
class Point:
    """One experiment of the grid; None stands for the setting's own value.

    Attributes
    ----------
    total_tokens : D as asked for.
    preset : name of the model size.
    """

    total_tokens: int | None
    preset: str | None

    def experiment(self, base: str) -> str:
        """Name of the point's experiment."""
        parts = [f"D{self.total_tokens}" if self.total_tokens else "", self.preset or ""]
        return "-".join([base, *(part for part in parts if part)])

    def settings(self, base: str) -> dict[str, Any]:
        """What differs from the settings of the grid, as nested dictionaries."""
        changes: dict[str, Any] = {
            "experiment": self.experiment(base),
            "shared_data": base,
            "grid": {"total_tokens": [], "presets": []},
        }
        if self.total_tokens is not None:
            changes["mixture"] = {"total_tokens": self.total_tokens}
        if self.preset is not None:
            changes["model"] = {"preset": self.preset}
        return changes


def grid_points(params: Parameters) -> list[Point]:
    """Every total with every size, in ascending order of the totals; one point without a grid."""
    totals: list[int | None] = [*sorted(set(params.grid.total_tokens))] or [None]
    presets: list[str | None] = [*dict.fromkeys(params.grid.presets)] or [None]
    return [Point(total, preset) for preset in presets for total in totals]


def run_grid(project: Path, env: str | None, settings: dict[str, Any]) -> None:
    """Run the experiment of every point, then write the report on all of them.

    Corpus, tokenizer and token store are those of the grid's own experiment and made once. Runs
    that are finished are not trained again, so that an interrupted grid is continued by the same
    command.

    Parameters
    ----------
    project : the project's folder.
    env : environment with the settings; None for the default.
    settings : that take precedence, as nested dictionaries.
    """
    params, base = _read(project, env, settings)
    points = grid_points(params)
    log.info("Grid: %d experiments, %s", len(points), ", ".join(p.experiment(base) for p in points))
    with _session(project, env, settings) as session:
        session.run(pipeline_names=["data_processing"])
    for point in points:
        log.info("Grid: %s", point.experiment(base))
        with _session(project, env, _merge(settings, point.settings(base))) as session:
            session.run(pipeline_names=_OF_POINTS)
    if not params.plan:
        _write_report(project, env, settings, base, points)


def _session(project: Path, env: str | None, settings: dict[str, Any]) -> SweepSession:
    return SweepSession.create(
        project_path=project, env=env, runtime_params=settings, save_on_close=False
    )


def _merge(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested settings, of which `changes` take precedence."""
    merged: Any = OmegaConf.to_container(OmegaConf.merge(settings, changes))
    return dict(merged)


def _context(project: Path, env: str | None, settings: dict[str, Any]) -> KedroContext:
    with _session(project, env, settings) as session:
        return session.load_context()


def _read(project: Path, env: str | None, settings: dict[str, Any]) -> tuple[Parameters, str]:
    """The parameters, and the name of the experiment."""
    loader = _context(project, env, settings).config_loader
    params = current_parameters()
    return params, experiment_name(loader, params.experiment)


def _write_report(
    project: Path, env: str | None, settings: dict[str, Any], base: str, points: list[Point]
) -> None:
    """Collect the results of all points, and write table, figure and report."""
    from ergokedro.reporting import grid

    catalog = _context(project, env, settings).catalog
    results, designs, summaries = (
        catalog.load(name) for name in ("all_results", "all_designs", "all_summaries")
    )
    run = run_name(current_parameters().runs[0])
    table = pd.concat(
        [
            grid.collect(name, results[name](), designs[name](), summaries[f"{name}/{run}"]())
            for name in (point.experiment(base) for point in points)
        ],
        ignore_index=True,
    )
    catalog.save("grid_results", table)
    catalog.save("xe_grid.figure", grid.plot_grid(table))
    documents = _documents(table, catalog)
    catalog.save("grid_documents", documents)
    markdown, html = grid.render_grid(table, catalog.load("xe_grid.figure"), documents)
    catalog.save("grid_markdown", markdown)
    catalog.save("grid_html", html)
    entries = map(catalog.config_resolver.resolve_pattern, ("grid_html", "xe_grid.figure"))
    for line in where_results_are(entry["filepath"] for entry in entries):
        print(f"  {line}")


def _documents(table: pd.DataFrame, catalog: CatalogProtocol) -> pd.DataFrame:
    """Means of the test documents under the runs that the law over D is fitted to."""
    from ergokedro.analysis.transfer.grid_documents import document_means
    from ergokedro.analysis.transfer.over_grid import rows_of_runs

    windows, nll = (catalog.load(name) for name in ("all_evaluation_windows", "all_nll"))
    return document_means(rows_of_runs(table), windows, nll, "test")
