"""What a sweep will cost and what it can tell, before it starts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from ergokedro.analysis.planning import UNITS, Prospect, count_runs, make_prospect
from ergokedro.models.presets import warn_of_untuned_rate
from ergokedro.parameters import Parameters
from ergokedro.runtime.config_loader import current_parameters

if TYPE_CHECKING:
    from ergokedro.design.mixture import Manifest
    from ergokedro.training.cost_estimate import Plan

log = logging.getLogger(__name__)


MakePlan = Callable[..., "Plan"]


def announce(
    sweep: dict[str, Pipeline], catalog: CatalogProtocol, make_plan: MakePlan
) -> Plan | None:
    """Log how a sweep is computed and what it will cost; with plan=true print that instead.

    Parameters
    ----------
    sweep : the nodes of each run, by its namespace.
    make_plan : as :func:`ergokedro.training.cost_estimate.make_plan`.

    Returns
    -------
    The plan, or None with plan=true: then nothing is to be trained.
    """
    params = current_parameters()
    if params.grid.total_tokens or params.grid.presets:
        log.warning(
            "grid.total_tokens and grid.presets are for `kedro grid`; this run has "
            "mixture.total_tokens and model.preset alone"
        )
    to_train = [name for name, part in sweep.items() if f"{name}.model" in part.all_outputs()]
    manifests = [catalog.load(f"{name}.manifest") for name in to_train]
    done = _steps_done(manifests, params, catalog)
    plan = make_plan(manifests, params, catalog.load("tokenizer").vocab_size, done)
    if manifests:
        tokens = manifests[0].total_tokens * manifests[0].epochs(params.training.epochs)
        warn_of_untuned_rate(params.training, params.model, tokens)
    if params.plan:
        lines = [plan.table(), *_prospect(plan, params, catalog)] if manifests else []
        if params.references:
            lines += ["", f"References, measured and not trained: {', '.join(params.references)}"]
        print("\n".join(lines) or "Nothing to train")
        return None
    if manifests:
        log.info(plan.machine.describe())
        log.info(plan.describe())
    return plan


def _steps_done(
    manifests: list[Manifest], params: Parameters, catalog: CatalogProtocol
) -> dict[str, int]:
    """Steps that each run has made already."""
    from ergokedro.training.run import RunSettings, steps_done

    if not manifests:
        return {}
    store, windows = catalog.load("token_store"), catalog.load("evaluation_windows")
    settings = RunSettings(params.model, params.training, params.seed)
    return {
        m.run: steps_done(m, store, settings, windows, catalog.load(f"{m.run}.checkpoints"))
        for m in manifests
    }


def _prospect(plan: Plan, params: Parameters, catalog: CatalogProtocol) -> list[str]:
    """Which effect of K the design detects, and what `analysis.detect` needs."""
    results = catalog.load("results") if catalog.exists("results") else None
    windows, design = catalog.load("evaluation_windows"), catalog.load("design")
    prospect = make_prospect(params, design, windows, results)
    if prospect is None:
        return ["", "Effect of K: not measured, since K = 1 and another K are not both run"]
    return ["", *describe_prospect(prospect, plan, params)]


def describe_prospect(prospect: Prospect, plan: Plan, params: Parameters) -> list[str]:
    """The lines on power, with the cost of what the goal needs."""
    size, origin = prospect.size, prospect.origin
    single = ["draw"] * (size.draws == 1) + ["seed"] * (size.draws == size.seeds == 1)
    deviations = (f"{unit} {prospect.deviation(unit):.4f} ({origin[unit]})" for unit in UNITS)
    return [
        f"Effect of K, series {prospect.series}: draws {size.draws}, seeds {size.seeds}, test "
        f"documents per component {size.documents:,}, contrasts with K = 1 {prospect.contrasts}",
        f"Detected with 80 % probability: {prospect.detectable:.4f} nats per token, two-sided at "
        f"{1 - prospect.confidence:.2g} over the family (Bonferroni)"
        + (f"; for this {' and this '.join(single)} alone" if single else ""),
        f"Standard deviations of the difference, nats per token: {', '.join(deviations)}",
        f"analysis.detect = {prospect.goal:g} needs, the other numbers staying as they are:",
        *(f"  {_need(prospect, unit, plan, params)}" for unit in UNITS),
        f"  or, with the chance of draws: {_cheapest(prospect, plan, params)}",
    ]


def _cheapest(prospect: Prospect, plan: Plan, params: Parameters) -> str:
    size = prospect.cheapest(lambda draws, seeds: count_runs(params, draws, seeds))
    if size is None:
        return "no numbers suffice"
    cost = _cost(plan, count_runs(params, size.draws, size.seeds))
    return (
        f"controls.draws={size.draws}, controls.seeds={size.seeds} and {size.documents:,} "
        f"documents per component: {cost}"
    )


def _need(prospect: Prospect, unit: str, plan: Plan, params: Parameters) -> str:
    """How many of one unit the goal needs, and what they cost."""
    number = prospect.needed(unit)
    now = getattr(prospect.size, unit)
    if number is None:
        return f"{unit}: more of these alone do not suffice ({now:,} now)"
    if unit == "documents":
        return f"{unit}: {number:,} per component ({now:,} now); no further run"
    size = prospect.size._replace(**{unit: number})
    cost = _cost(plan, count_runs(params, size.draws, size.seeds))
    return f"{unit}: {number:,} ({now:,} now); {cost}"


def _cost(plan: Plan, runs: int | None) -> str:
    if runs is None:
        return "more than 99, the most that controls.draws and controls.seeds allow"
    return f"{runs:,} runs, about {plan.time_of(runs)} of training in all"
