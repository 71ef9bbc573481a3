"""The report: one self-contained page in HTML, the same in Markdown, and the table for a terminal.

This module gathers numbers and decisions; the words are in the templates.
"""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pandas as pd

from ergokedro.analysis.controls import read_settings
from ergokedro.design.mixture import Design, Manifest
from ergokedro.design.records import RunSummary
from ergokedro.parameters import Parameters
from ergokedro.reporting import findings, rendering, tables
from ergokedro.reporting.checks import Check, run_checks
from ergokedro.reporting.decomposition import CostRow, cost_rows
from ergokedro.reporting.headline import Headline, find_headline
from ergokedro.reporting.pictures import Picture
from ergokedro.reporting.references import ReferenceRow, reference_rows
from ergokedro.reporting.results import coverage, percent
from ergokedro.reporting.text import shorten, visible
from ergokedro.reporting.transfer import Transfer, find_transfer

_LIBRARIES = ("ergokedro", "torch", "transformers", "numpy", "kedro")
_LONGEST, _WIDTH = 24, 110  # characters of a component's name and of a line in a terminal


@dataclass(frozen=True)
class Report:
    """The content of the report; the figures join it when it is rendered.

    Attributes
    ----------
    headline, checks : the answer, and how sure it is.
    xe : one row per K of the table of cross entropy, as dictionaries.
    acceptance : rows of the checks against the optimum; none where it is not known.
    summaries, manifests : of the runs of the chain.
    unequal : those K whose components could not give equal shares.
    settings : all parameters, as flat keys.
    machine, libraries : what computed the analysis.
    revisions : commits on the hub of 'corpus' and 'tokenizer', where they come from there.
    """

    headline: Headline
    checks: list[Check]
    findings: findings.Findings
    xe: list[dict[str, Any]]
    components: tables.Matrix
    components_in_bits: tables.Matrix
    references: list[ReferenceRow]
    costs: list[CostRow]
    transfer: Transfer
    contrasts: list[tables.ContrastRow]
    distinguishability: tables.Matrix
    convergence: list[tables.ConvergenceRow]
    fits: list[tables.FitRow]
    acceptance: list[dict[str, Any]]
    design: Design
    parameters: Parameters
    summaries: list[RunSummary]
    manifests: list[Manifest]
    unequal: list[int]
    settings: dict[str, Any]
    machine: str
    libraries: list[str]
    revisions: dict[str, str]


def build_report(
    results: pd.DataFrame,
    xe_table: pd.DataFrame,
    acceptance: pd.DataFrame,
    design: Design,
    manifests: list[Manifest],
    summaries: list[RunSummary],
    histories: Mapping[int, pd.DataFrame],
    parameters: Parameters,
    revisions: dict[str, str] | None = None,
) -> Report:
    """Gather what the report says of the test text.

    Parameters
    ----------
    manifests, summaries, histories : of the runs of the chain; histories by K.
    """
    headline = find_headline(results)
    found = findings.find(results, design, read_settings(parameters.controls))
    return Report(
        headline=headline,
        checks=run_checks(headline, found, acceptance, histories),
        findings=found,
        xe=xe_table.to_dict("records"),
        components=tables.component_matrix(results),
        components_in_bits=tables.component_matrix(results, "bits_per_byte"),
        references=reference_rows(results),
        costs=cost_rows(results),
        transfer=find_transfer(results),
        contrasts=tables.contrast_rows(results),
        distinguishability=tables.distinguishability_table(results),
        convergence=tables.convergence_rows(results),
        fits=tables.fit_rows(results),
        acceptance=acceptance.to_dict("records"),
        design=design,
        parameters=parameters,
        summaries=summaries,
        manifests=manifests,
        unequal=[m.k for m in manifests if any(c.adjusted for c in m.components)],
        settings=flat_settings(parameters),
        machine=f"{platform.machine()}, Python {platform.python_version()}",
        libraries=[f"{name} {version(name)}" for name in _LIBRARIES],
        revisions=revisions or {},
    )


def flat_settings(parameters: Parameters) -> dict[str, Any]:
    """All parameters as flat keys such as 'training.epochs'."""
    return pd.json_normalize(parameters.model_dump(mode="json")).iloc[0].to_dict()


def render_markdown(report: Report, pictures: Mapping[str, Picture]) -> str:
    """The report as Markdown, which refers to the files of the pictures beside it."""
    return rendering.render_markdown("report.md.j2", report=report, pictures=pictures)


def render_html(report: Report, pictures: Mapping[str, Picture]) -> str:
    """The report as one HTML page that needs no other file."""
    return rendering.render_html("report.html.j2", report=report, pictures=pictures)


def format_table(table: pd.DataFrame, results: pd.DataFrame, design: Design) -> str:
    """For a terminal: the report's first sentence, and the table of XE per K, nats per token."""
    smallest = shorten(design.components[0], _LONGEST)
    known = "optimum" in table
    answer = rendering.render_plain(
        "answer.txt.j2",
        headline=find_headline(results),
        smallest=design.components[0],
        total_tokens=design.total_tokens,
    )
    title = (
        f"Cross entropy on test text, nats per token: on {smallest}, the same text for every K; "
        "then on the components that K was trained on, other text for every K, with its interval"
        f"{', the least that is possible there, and the excess over that' if known else ''}."
    )
    interval = _numbers(table.low) + " to " + _numbers(table.high)
    columns = {
        "K": table.k.map(str),
        f"on {smallest}": _numbers(table.smallest),
        "on own components": _numbers(table.xe),
        f"{percent(coverage(results))}interval": interval,
    }
    if known:
        columns |= {"least possible": _numbers(table.optimum), "excess": _numbers(table.excess)}
    columns["components"] = table.components.map(visible)
    return f"\n{answer}{textwrap.fill(title, _WIDTH)}\n{_aligned(columns)}\n"


def _numbers(values: pd.Series) -> pd.Series:
    return values.map("{:.4f}".format)


def _aligned(columns: Mapping[str, pd.Series]) -> str:
    """Columns of text, two spaces apart and aligned at their right ends."""
    padded = []
    for name, cells in columns.items():
        width = max(map(len, (name, *cells)))
        padded.append([cell.rjust(width) for cell in (name, *cells)])
    return "\n".join("  ".join(row) for row in zip(*padded, strict=True))
