"""Nodes from the NLL arrays of all runs to results and report.

The number of runs varies, so what belongs to each run arrives as keyword arguments named
`nll:k1`, `manifest:k1` and so on, in the order of the plan. Kedro reads the annotations when it
starts, so they name no class of a slow library. Figures draw themselves: see
:mod:`ergokedro.reporting.figures`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pandas as pd

from ergokedro.analysis import checks, measurement
from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.references import check_references
from ergokedro.analysis.results import all_results
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.descriptions import common_text
from ergokedro.design.mixture import Design
from ergokedro.design.nll import ExactNLL
from ergokedro.design.records import RunSummary
from ergokedro.design.runs import Run
from ergokedro.parameters import (
    AnalysisParameters,
    CorpusParameters,
    Parameters,
    parse_k,
)
from ergokedro.reporting import report
from ergokedro.reporting.figures import FIGURES
from ergokedro.reporting.pictures import Picture

log = logging.getLogger(__name__)


def compute_exact_nll(
    token_store: TokenStore,
    tokenizer: Tokenizer,
    evaluation_windows: pd.DataFrame,
    design: Design,
    params: CorpusParameters,
) -> ExactNLL:
    """The least possible NLL of every evaluation window, where the corpus's sources are known."""
    from ergokedro.analysis.exact_optimum import exact_nll

    return exact_nll(token_store, tokenizer, evaluation_windows, design, params)


def measure(
    evaluation_windows: pd.DataFrame,
    design: Design,
    token_store: TokenStore,
    exact_nll: ExactNLL,
    params: AnalysisParameters,
    k: Any,
    controls: dict[str, Any],
    **runs: Any,
) -> pd.DataFrame:
    """All results with their intervals, as a tidy table.

    Parameters
    ----------
    runs : of each run and, as `reference:NAME`, the NLL of each published model.
    """
    from ergokedro.analysis.training_text import training_text

    n_components = len(design.components)
    plan = plan_experiment(parse_k(k, n_components), n_components, controls)
    nll, manifests, summaries = (_each(runs, kind) for kind in ("nll", "manifest", "summary"))
    checks.check_runs(plan, nll, manifests, summaries, evaluation_windows, design)
    checks.check_comparable(plan, summaries)
    by_run = dict(zip(plan, nll, strict=True))
    prefix = "reference:"
    references = {n.removeprefix(prefix): v for n, v in runs.items() if n.startswith(prefix)}
    check_references(references, evaluation_windows, design.store)
    text = training_text(token_store, evaluation_windows, design)
    experiment = Experiment(
        design,
        evaluation_windows,
        by_run,
        exact_nll,
        params,
        controls,
        references,
        text,
        common_text(manifests),
        _best_epochs(by_run, summaries),
    )
    trained = {run: s for run, s in zip(plan, summaries, strict=True) if run.in_chain}
    histories = dict(zip(trained, _each(runs, "history"), strict=True))
    return all_results(experiment, histories, trained)


def _best_epochs(runs: Iterable[Run], summaries: list[RunSummary]) -> dict[Run, float]:
    """Run -> best number of epochs as a multiple of the chain's, where runs look for it."""
    return {
        run: summary.best_epochs / summaries[0].epochs
        for run, summary in zip(runs, summaries, strict=True)
        if summary.best_epochs is not None
    }


def tabulate(
    results: pd.DataFrame, design: Design, parameters: dict[str, Any], **runs: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The short table of XE per K, and the checks against the exact optimum."""
    bounds = checks.excess_bounds(_parameters(parameters, _each(runs, "summary")))
    accepted = checks.acceptance(results, bounds)
    for row in accepted[~accepted.passed.astype(bool)].itertuples():
        log.warning("Check failed: %s is %.4f, the bound %.4f", row.check, row.value, row.bound)
    return measurement.xe_table(results, design), accepted


def keep_settings(parameters: dict[str, Any], **runs: Any) -> dict[str, Any]:
    """All settings, those of model and training as the runs were trained with."""
    return _parameters(parameters, _each(runs, "summary")).model_dump(mode="json")


def write_report(
    results: pd.DataFrame,
    xe_table: pd.DataFrame,
    acceptance: pd.DataFrame,
    design: Design,
    parameters: dict[str, Any],
    token_store: TokenStore,
    tokenizer: Tokenizer,
    **inputs: Any,
) -> tuple[str, str]:
    """The report in Markdown and in HTML.

    Parameters
    ----------
    inputs : manifests, summaries and histories of the chain, the figures' PNG files as
        `figure:NAME` and, where they have one, their interactive forms as `plotly:NAME`.
    """
    content = report.build_report(
        results,
        xe_table,
        acceptance,
        design,
        _each(inputs, "manifest"),
        _each(inputs, "summary"),
        {s.k: h for s, h in zip(*(_each(inputs, n) for n in ("summary", "history")), strict=True)},
        _parameters(parameters, _each(inputs, "summary")),
        _revisions(token_store, tokenizer),
    )
    pictures = {name: _picture(name, inputs) for name in FIGURES if f"figure:{name}" in inputs}
    return report.render_markdown(content, pictures), report.render_html(content, pictures)


def _picture(name: str, inputs: dict[str, Any]) -> Picture:
    chart = inputs.get(f"plotly:{name}")
    json = "" if chart is None else chart.to_json()
    return Picture.read(name, FIGURES[name].title, inputs[f"figure:{name}"], json)


def _parameters(parameters: dict[str, Any], summaries: list[RunSummary]) -> Parameters:
    """The settings of the analysed runs."""
    # Kedro has made models of some parts of the dictionary; validating takes both.
    return checks.trained_parameters(Parameters.model_validate(parameters), summaries)


def _revisions(store: TokenStore, tokenizer: Tokenizer) -> dict[str, str]:
    """Commits of what comes from the hub."""
    commits = {"corpus": store.meta["corpus"].get("revision"), "tokenizer": tokenizer.revision}
    return {name: commit for name, commit in commits.items() if commit}


def _each(runs: dict[str, Any], kind: str) -> list[Any]:
    """The arguments of one kind, in the order of the plan."""
    return [value for name, value in runs.items() if name.startswith(f"{kind}:")]
