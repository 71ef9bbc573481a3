"""Nodes from the NLL arrays of all runs to results, figures and report.

The number of runs varies, so what belongs to each run arrives as keyword arguments named
`nll:k1`, `manifest:k1` and so on, in the order of the plan. Kedro reads the annotations when it
starts, so they name no class of a slow library: figures are `Any`.
"""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from ergokedro.analysis import checks, measurement
from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.results import all_results
from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.mixture import Design
from ergokedro.design.nll import ExactNLL
from ergokedro.design.records import RunSummary
from ergokedro.parameters import (
    AnalysisParameters,
    CorpusParameters,
    Parameters,
    parse_k,
)
from ergokedro.reporting import report
from ergokedro.reporting.figures import common, decomposition, interactive, specialists

log = logging.getLogger(__name__)
_TITLES = {
    "xe_by_k": "Cross entropy against K",
    "in_context_xe": "Cross entropy in context",
    "learning_curves": "Learning curves",
    "component_heatmap": "Every K on every component",
    "decomposition": "Where the cost of K comes from",
    "specialists": "Specialists and mixtures",
    "distinguishability": "How far components can be told apart",
    "controls": "Controls",
}


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
    exact_nll: ExactNLL,
    params: AnalysisParameters,
    k: Any,
    controls: dict[str, Any],
    **runs: Any,
) -> pd.DataFrame:
    """All results with their intervals, as a tidy table."""
    n_components = len(design.components)
    plan = plan_experiment(parse_k(k, n_components), n_components, controls)
    nll, manifests, summaries = (_each(runs, kind) for kind in ("nll", "manifest", "summary"))
    checks.check_runs(plan, nll, manifests, summaries, evaluation_windows, design)
    checks.check_comparable(plan, summaries)
    by_run = dict(zip(plan, nll, strict=True))
    experiment = Experiment(design, evaluation_windows, by_run, exact_nll, params, controls)
    trained = {run: s for run, s in zip(plan, summaries, strict=True) if run.in_chain}
    histories = dict(zip(trained, _each(runs, "history"), strict=True))
    return all_results(experiment, histories, trained)


def tabulate(
    results: pd.DataFrame, design: Design, parameters: dict[str, Any], **runs: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The short table of XE per K, and the checks against the exact optimum."""
    reference = checks.is_reference(_parameters(parameters, _each(runs, "summary")))
    accepted = checks.acceptance(results, reference)
    for row in accepted[~accepted.passed.astype(bool)].itertuples():
        log.warning("Check failed: %s is %.4f, the bound %.4f", row.check, row.value, row.bound)
    return measurement.xe_table(results, design), accepted


def plot_xe_by_k(results: pd.DataFrame) -> tuple[Any, Any]:
    """The headline figure, printed and interactive."""
    return common.plot_xe_by_k(results), interactive.plotly_xe_by_k(results)


def plot_in_context_xe(results: pd.DataFrame) -> tuple[Any, Any]:
    """L(t) of every K, printed and interactive."""
    return common.plot_in_context_xe(results), interactive.plotly_in_context_xe(results)


def plot_learning_curves(design: Design, **runs: Any) -> Any:
    """Loss against tokens seen, for every K."""
    summaries, histories = _each(runs, "summary"), _each(runs, "history")
    by_k = {s.k: h for s, h in zip(summaries, histories, strict=True)}
    return common.plot_learning_curves(by_k, design.components)


def plot_component_heatmap(results: pd.DataFrame) -> tuple[Any, Any]:
    """Every K on every component, printed and interactive."""
    return (
        common.plot_component_heatmap(results),
        interactive.plotly_component_heatmap(results),
    )


def plot_decomposition(results: pd.DataFrame) -> tuple[Any, Any]:
    """Starvation, identification, interference of every K, printed and interactive."""
    return (
        decomposition.plot_decomposition(results),
        interactive.plotly_decomposition(results),
    )


def plot_specialists(results: pd.DataFrame, design: Design) -> tuple[Any, Any]:
    """Specialists beside models of K, by tokens; and how far components can be told apart."""
    return (
        specialists.plot_specialists(results, design.total_tokens),
        specialists.plot_distinguishability(results),
    )


def plot_controls(results: pd.DataFrame) -> Any:
    """The control series against K."""
    return decomposition.plot_controls(results)


def write_report(
    results: pd.DataFrame,
    xe_table: pd.DataFrame,
    acceptance: pd.DataFrame,
    design: Design,
    parameters: dict[str, Any],
    **inputs: Any,
) -> tuple[str, str]:
    """The report in Markdown and in HTML."""
    content = report.build_report(
        results,
        xe_table,
        acceptance,
        design,
        _each(inputs, "manifest"),
        _each(inputs, "summary"),
        _parameters(parameters, _each(inputs, "summary")),
    )
    titles = {name: title for name, title in _TITLES.items() if name in inputs}
    files = {title: f"{name}.png" for name, title in titles.items()}
    plots = {title: inputs[name] for name, title in titles.items()}
    return report.render_markdown(content, files), report.render_html(content, plots)


def _parameters(parameters: dict[str, Any], summaries: list[RunSummary]) -> Parameters:
    """The settings of the analysed runs."""
    # Kedro has made models of some parts of the dictionary; validating takes both.
    return checks.trained_parameters(Parameters.model_validate(parameters), summaries)


def _each(runs: dict[str, Any], kind: str) -> list[Any]:
    """The arguments of one kind, in the order of the plan."""
    return [value for name, value in runs.items() if name.startswith(f"{kind}:")]
