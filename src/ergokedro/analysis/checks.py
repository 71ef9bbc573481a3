"""Checks that results are current and comparable, and agree with the exact optimum if known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.mixture import Design, Manifest
from ergokedro.design.nll import NLLArrays
from ergokedro.design.records import RunSummary
from ergokedro.design.runs import Run
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import MACHINE_SETTINGS, Parameters


def check_runs(
    plan: list[Run],
    runs: list[NLLArrays],
    manifests: list[Manifest],
    summaries: list[RunSummary],
    windows: pd.DataFrame,
    design: Design,
) -> None:
    """Raise an error if a result belongs to other windows, manifests, weights or another design.

    Raises
    ------
    ErgokedroError
        Naming what is stale and the command that makes it anew.
    """
    fingerprint = windows_fingerprint(windows)
    shapes = _shapes(windows, design)
    for planned, run, manifest, summary in zip(plan, runs, manifests, summaries, strict=True):
        labels = [design.components[position - 1] for position in planned.components]
        if (manifest.store, list(dict.fromkeys(manifest.labels))) != (design.store, labels):
            raise ErgokedroError(
                f"The manifest of {manifest.run} was made for another design. Run "
                "`kedro run --pipelines mixture_design,training` to renew manifests and results."
            )
        current = {
            "evaluation windows": (run.meta.fingerprints.evaluation_windows, fingerprint),
            "manifest": (run.meta.fingerprints.manifest, manifest.fingerprint),
            "weights": (run.meta.fingerprints.weights, summary.final_weights),
            "shape": ({split: nll.shape for split, nll in run.nll.items()}, shapes),
        }
        stale = [name for name, (actual, expected) in current.items() if actual != expected]
        if stale:
            raise ErgokedroError(
                f"The results of {manifest.run} are stale: they were measured with other "
                f"{' and '.join(stale)} than the present ones. Run "
                "`kedro run --pipelines training` with the same --env and --params to renew all "
                "that are stale."
            )


def _shapes(windows: pd.DataFrame, design: Design) -> dict[str, tuple[int, int]]:
    counts = windows.groupby("split").size()
    return {str(split): (int(n), design.window_length - 1) for split, n in counts.items()}


_SAME = ("batch_size", "parameters")
_SAME_SEED = ("seed", "initial_weights")
_SAME_SCHEDULE = ("epochs", "schedule")
_SAME_TOTAL = ("steps", "tokens_seen")


def trained_parameters(parameters: Parameters, summaries: list[RunSummary]) -> Parameters:
    """`parameters`, with the model and training settings that the runs were really trained with.

    Analysis may be run by another command, with other settings, than training was.
    """
    settings = summaries[0].settings
    changes = {name: getattr(parameters, name).model_validate(settings[name]) for name in settings}
    return parameters.model_copy(update={"seed": summaries[0].seed, **changes})


def check_comparable(plan: list[Run], summaries: list[RunSummary]) -> None:
    """Raise an error if runs differ in more than their mixture, or what their control changes.

    Raises
    ------
    ErgokedroError
        Naming what differs, between which runs, and the remedy.
    """
    first = summaries[0]
    for run, other in zip(plan, summaries, strict=True):
        same_seed = _SAME_SEED if run.added_seed == 0 else ()
        of_protocol = run.divisor == run.k and run.repeats == run.rate == 1 and not run.search
        same_schedule = _SAME_SCHEDULE if of_protocol else ()
        # Of a run that looks for its best number of epochs, these are what it found.
        same_total = _SAME_TOTAL if of_protocol and other.best_epochs is None else ()
        for key in (*same_seed, *same_schedule, *same_total, *_SAME):
            if getattr(other, key) != getattr(first, key):
                raise ErgokedroError(
                    f"{first.run} and {other.run} cannot be compared: they differ in {key} "
                    f"({getattr(first, key)} and {getattr(other, key)}). Run "
                    "`kedro run --pipelines training` so that all are trained with the same "
                    "parameters."
                )


# Known experiments: settings that differ from the defaults, and bounds on the excess on test text
# by K, nats per token. The second is conf/quick, whose models are trained on a tenth of the text.
_KNOWN: tuple[tuple[dict[str, Any], dict[int, float]], ...] = (
    ({}, {1: 0.005, 5: 0.015}),
    (
        {
            "corpus": {
                "synthetic": {
                    "components": 3,
                    "train_documents": 80,
                    "train_documents_step": 4,
                    "heldout_documents": 25,
                }
            },
            "mixture": {"top_n": 3},
        },
        {1: 0.025, 3: 0.045},
    ),
)
_PROTOCOL = ("corpus", "tokenizer", "mixture", "model")
_NOT_PROTOCOL = {*MACHINE_SETTINGS, "log_points", "validation_points", "validation_windows"}


def excess_bounds(parameters: Parameters) -> dict[int, float]:
    """K -> bound on the excess, nats per token; empty if the protocol is not a known one."""

    def protocol(of: Parameters) -> tuple[Any, ...]:
        training = of.training.model_dump(exclude=_NOT_PROTOCOL)
        return (*(getattr(of, name) for name in _PROTOCOL), training)

    for changes, bounds in _KNOWN:
        if protocol(Parameters.model_validate(changes)) == protocol(parameters):
            return bounds
    return {}


def acceptance(results: pd.DataFrame, bounds: Mapping[int, float]) -> pd.DataFrame:
    """Compare the chain with the exact optimum, where that is known.

    No trained model may lie below the exact optimum by more than 3 standard errors, on any split:
    that would mean held-out text in training or a model that sees the future. With known parameters
    the excess on test text lies below its bounds, and grows.

    Parameters
    ----------
    bounds : of :func:`excess_bounds`.

    Returns
    -------
    Columns check, value, bound, passed; empty where the optimum is not known.
    """
    excess = results[(results.quantity == "excess") & (results.series == "chain")]
    rows: list[tuple[str, float, float, bool]] = []
    for k, splits in excess.assign(z=excess.value / excess.standard_error).groupby("k"):
        lowest = float(splits.z.min())
        check = f"K = {k}: no leak (excess in standard errors, lowest split)"
        # Not `lowest >= -3`: without a standard error nothing speaks of a leak.
        rows.append((check, lowest, -3.0, not lowest < -3))
    test = excess[excess.split == "test"].sort_values("k").set_index("k").value
    if bounds:
        for k, bound in bounds.items():
            if k in test.index:
                value = float(test[k])
                rows.append((f"K = {k}: excess on test text, nats", value, bound, value < bound))
        if len(test) > 1:
            rise = float(test.iloc[-1] - test.iloc[0])
            check = f"excess grows from K = {test.index[0]} to {test.index[-1]}, nats"
            rows.append((check, rise, 0.0, rise > 0))
    return pd.DataFrame(rows, columns=["check", "value", "bound", "passed"])
