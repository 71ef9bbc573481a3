"""How sure the headline is: a list of checks, each passed, with a warning, or not run.

The words, and the setting that runs what was not run, are in templates/checks.j2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pandas as pd

from ergokedro.analysis.convergence import averaged_curve, validation_curve
from ergokedro.reporting.findings import Findings
from ergokedro.reporting.headline import Headline

State = Literal["passed", "warning", "not run"]

# Nats per token. By how much held-out text is predicted worse than training text of a model that
# has learnt it by heart, and by how much a model that is hardly trained improves at the end.
BY_HEART, STILL_FALLING = 0.1, 0.1
_END = 0.75  # of the training tokens


@dataclass(frozen=True)
class Check:
    """One line of the list.

    Attributes
    ----------
    name : of its words in templates/checks.j2.
    facts : the numbers that they state.
    """

    name: str
    state: State
    facts: Mapping[str, Any] = field(default_factory=dict)


def run_checks(
    headline: Headline,
    findings: Findings,
    acceptance: pd.DataFrame,
    histories: Mapping[int, pd.DataFrame],
) -> list[Check]:
    """All checks, in the order of the report.

    Parameters
    ----------
    acceptance : of :func:`ergokedro.analysis.checks.acceptance`.
    histories : of the chain's runs, by K.
    """
    return [
        *_optimum(acceptance),
        _repeats("seeds", headline.seeds, noise=findings.seed_noise),
        _draws(headline),
        Check("sets", "passed" if headline.series == "balanced" else "not run"),
        _pseudo(findings),
        _documents(headline, findings),
        _by_heart(findings),
        _trained(headline, findings, histories),
    ]


def _optimum(acceptance: pd.DataFrame) -> Iterator[Check]:
    """Alarms that need a known optimum: a model too far above it, or below it."""
    of_leaks = acceptance.check.str.contains("no leak", regex=False).astype(bool)
    for name, rows in (("optimum", acceptance[~of_leaks]), ("leak", acceptance[of_leaks])):
        passed = bool(rows.passed.astype(bool).all())
        yield Check(name, "not run" if rows.empty else "passed" if passed else "warning")


def _repeats(name: str, number: int, **facts: Any) -> Check:
    return Check(name, "passed" if number > 1 else "not run", {"number": number, **facts})


def _draws(headline: Headline) -> Check:
    """Several draws whose text is partly the same differ less than others would."""
    check = _repeats("draws", headline.draws, shared=headline.shared_text)
    return replace(check, state="warning") if headline.shared_text else check


def _pseudo(findings: Findings) -> Check:
    if not findings.pseudo:
        return Check("pseudo", "not run")
    fine = all(control.verdict in ("zero", "within") for control in findings.pseudo)
    return Check("pseudo", "passed" if fine else "warning", {"largest": findings.pseudo[-1]})


def _documents(headline: Headline, findings: Findings) -> Check:
    few = findings.few_documents
    number = headline.documents if few is None else few
    facts = {"number": number, "smallest": findings.smallest}
    return Check("documents", "passed" if few is None else "warning", facts)


def _by_heart(findings: Findings) -> Check:
    """Do the models predict their training text better than held-out text?"""
    if not findings.train_gaps:
        return Check("by_heart", "not run")
    worst = max(findings.train_gaps, key=lambda gap: gap.estimate.value)
    state: State = "warning" if worst.estimate.value > BY_HEART else "passed"
    return Check("by_heart", state, {"gap": worst})


def _trained(
    headline: Headline, findings: Findings, histories: Mapping[int, pd.DataFrame]
) -> Check:
    """Is there an excess so large, or a curve that falls so late, that K hardly matters yet?"""
    excess = findings.hardly_trained
    fall = max(late_fall(history, findings.smallest) for history in histories.values())
    largest = headline.largest
    effect = largest.size.value if largest.decision in ("higher", "lower") else None
    late = fall > STILL_FALLING or (effect is not None and fall > effect / 2)
    state: State = "warning" if excess is not None or late else "passed"
    return Check("trained", state, {"excess": excess, "fall": fall, "effect": effect})


def late_fall(history: pd.DataFrame, component: str) -> float:
    """By how much validation XE fell in the last quarter of training, nats per token.

    That of the averages on all components, where the run averages its weights: the weights
    themselves hardly get better at a constant rate.
    """
    curve = averaged_curve(history)
    if len(curve) < 2:
        curve = validation_curve(history, [component])
    start = curve[curve.index <= _END * curve.index[-1]]
    return float(start.iloc[-1] - curve.iloc[-1])
