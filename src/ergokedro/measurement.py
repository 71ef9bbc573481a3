"""What the NLL arrays say: XE by K and component, in context, against the optimum, with intervals.

Three series of XE against K are kept apart, because they answer different questions: `chain` (the
mean over the components that K was trained on), `smallest` (the first component alone, which every
K was trained on: a fixed set of windows) and `all` (the mean over all chosen components, seen in
training or not). Every component weighs the same in a mean; within it, every token does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xxhash

from ergokedro.errors import ErgokedroError
from ergokedro.mixture import Design, Manifest
from ergokedro.nll import NLLArrays
from ergokedro.parameters import MACHINE_SETTINGS, AnalysisParameters, Parameters
from ergokedro.runs import Run
from ergokedro.selection import RESULT_COLUMNS, Selection, selections
from ergokedro.statistics import Interval, intervals

# Positions of the in-context gain: the first 4 and the last 10 predictions (2..5, 91..100).
_GAIN_FIRST, _GAIN_LAST = 4, 10


def windows_fingerprint(windows: pd.DataFrame) -> str:
    """Hash of the evaluation windows, in their order."""
    digest = xxhash.xxh3_128()
    for column in ("split", "component"):
        digest.update("\n".join(windows[column]).encode())
    for column in ("document", "start"):
        digest.update(windows[column].to_numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def check_runs(
    plan: list[Run],
    runs: list[NLLArrays],
    manifests: list[Manifest],
    summaries: list[dict[str, Any]],
    windows: pd.DataFrame,
    design: Design,
) -> None:
    """Refuse what was made for other windows, manifests, weights or designs than the present ones.

    Raises
    ------
    ErgokedroError
        Naming what is stale and the command that makes it anew.
    """
    expected = windows_fingerprint(windows)
    shapes = _shapes(windows, design)
    for planned, run, manifest, summary in zip(plan, runs, manifests, summaries, strict=True):
        labels = [design.components[place - 1] for place in planned.components]
        if (manifest.store, list(dict.fromkeys(manifest.labels))) != (design.store, labels):
            raise ErgokedroError(
                f"The manifest of {manifest.run} was made for another design. Run "
                "`kedro run --pipelines mixture_design,training` to renew manifests and results."
            )
        current = {
            "evaluation windows": (run.meta["fingerprints"]["evaluation_windows"], expected),
            "manifest": (run.meta["fingerprints"]["manifest"], manifest.fingerprint),
            "weights": (run.meta["fingerprints"]["weights"], summary["final_weights"]),
            "shape": ({split: each.shape for split, each in run.nll.items()}, shapes),
        }
        stale = [name for name, (found, wanted) in current.items() if found != wanted]
        if stale:
            which = f" --params k={manifest.k}" if planned.in_chain else ""
            raise ErgokedroError(
                f"The results of {manifest.run} are stale: they were measured with other "
                f"{' and '.join(stale)} than the present ones. Run "
                f"`kedro run --pipelines training{which}` to renew them."
            )


def _shapes(windows: pd.DataFrame, design: Design) -> dict[str, tuple[int, int]]:
    counts = windows.groupby("split").size()
    return {str(split): (int(n), design.window_length - 1) for split, n in counts.items()}


_SAME = ("batch_size", "parameters")
_SAME_SEED = ("seed", "initial_weights")
_SAME_TOTAL = ("epochs", "steps", "tokens_seen", "schedule")


def trained_parameters(parameters: Parameters, summaries: list[dict[str, Any]]) -> Parameters:
    """`parameters`, with the model and training settings that the runs were really trained with.

    Analysis may be run by another command, with other settings, than training was.
    """
    settings = summaries[0]["settings"]
    changes = {name: getattr(parameters, name).model_validate(settings[name]) for name in settings}
    return parameters.model_copy(update={"seed": summaries[0]["seed"], **changes})


def check_comparable(plan: list[Run], summaries: list[dict[str, Any]]) -> None:
    """Refuse to compare runs that differ in more than their mixture, or the control's intent.

    Raises
    ------
    ErgokedroError
        Naming what differs, between which runs, and the remedy.
    """
    first = summaries[0]
    for run, other in zip(plan, summaries, strict=True):
        same_seed = _SAME_SEED if run.seed_offset == 0 else ()
        same_total = _SAME_TOTAL if run.divisor == run.k and run.repeats == 1 else ()
        for key in (*same_seed, *same_total, *_SAME):
            if other[key] != first[key]:
                raise ErgokedroError(
                    f"{first['run']} and {other['run']} cannot be compared: they differ in {key} "
                    f"({first[key]} and {other[key]}). Run `kedro run --pipelines training` so "
                    "that all K are trained with the same parameters."
                )


def component_means(nll: NLLArrays, windows: pd.DataFrame) -> pd.DataFrame:
    """Mean NLL by split and component, and over all ("all", each component weighing the same).

    Returns
    -------
    Columns split, component, xe (nats a token).
    """
    rows = []
    for split, values in nll.nll.items():
        component = windows.component[windows.split == split].to_numpy()
        means = pd.Series(values.mean(axis=1, dtype=np.float64)).groupby(component).mean()
        rows += [(split, name, float(xe)) for name, xe in means.items()]
        rows.append((split, "all", float(means.mean())))
    return pd.DataFrame(rows, columns=["split", "component", "xe"])


def measure(
    runs: list[NLLArrays],
    windows: pd.DataFrame,
    design: Design,
    exact: NLLArrays,
    params: AnalysisParameters,
) -> pd.DataFrame:
    """All results as a tidy table.

    Parameters
    ----------
    runs : one per K.
    windows : the evaluation windows, in the order of the arrays.
    exact : NLL of the exact optimum under the key 'split/k3', or no arrays where it is unknown.

    Returns
    -------
    One row per number: run, k, seed, split, quantity, series, component, trained (all components
    behind it were trained on), position (2..W, or 0 for a mean over positions), value, low, high,
    standard_error, windows, documents, unit. Quantities:

    - xe;
    - in_context_xe, L(t) by position, and binned_in_context_xe, its means over bins of positions
      that widen, at their geometric middle;
    - in_context_gain, L(t) over the first 4 predictions less that over the last 10;
    - exact_xe, exact_in_context_xe, exact_binned_in_context_xe, of the exact Bayes reader of the K
      sources, and excess of xe over exact_xe, paired by window. Only where all components were
      trained on: elsewhere that reader is no optimum;
    - difference_to_k1, xe less that of K = 1, paired by window (series smallest).
    """
    base = next((run for run in runs if run.meta["k"] == 1), None)
    rows = []
    for run in runs:
        for split in run.nll:
            here = windows[windows.split == split].reset_index(drop=True)
            optimum = exact.nll.get(f"{split}/{run.meta['run']}")
            for selection in selections(here, design, run.meta["components"]):
                common = {
                    "run": run.meta["run"],
                    "k": run.meta["k"],
                    "seed": run.meta["seed"],
                    "split": split,
                    **selection.tags(),
                    "unit": "nats",
                }
                best = optimum if selection.trained else None
                reference = base.nll[split] if base is not None and run is not base else None
                for quantity, position, interval in _quantities(
                    run.nll[split], selection, params, best, reference
                ):
                    row = {"quantity": quantity, "position": position, **interval._asdict()}
                    rows.append({**common, **row})
    return pd.DataFrame(rows)[RESULT_COLUMNS]


def _quantities(
    nll: np.ndarray,
    selection: Selection,
    params: AnalysisParameters,
    optimum: np.ndarray | None,
    base: np.ndarray | None,
) -> Iterator[tuple[str, int, Interval]]:
    """(quantity, position, interval) of one run on one selection."""
    yield "xe", 0, selection.mean(nll, params)
    if optimum is not None:
        yield "exact_xe", 0, selection.mean(optimum, params)
        yield "excess", 0, selection.mean(nll - optimum, params)
    if selection.series == "component":
        return
    replicates = selection.replicates(nll, params)
    for position, interval in enumerate(intervals(replicates, params.confidence), start=2):
        yield "in_context_xe", position, interval
    yield from _binned("binned_in_context_xe", replicates, params)
    gain = replicates[:, :_GAIN_FIRST].mean(axis=1) - replicates[:, -_GAIN_LAST:].mean(axis=1)
    yield "in_context_gain", 0, intervals(gain[:, None], params.confidence)[0]
    if optimum is not None:
        exact = selection.replicates(optimum, params)
        for position, interval in enumerate(intervals(exact, params.confidence), start=2):
            yield "exact_in_context_xe", position, interval
        yield from _binned("exact_binned_in_context_xe", exact, params)
    if base is not None and selection.series == "smallest":
        yield "difference_to_k1", 0, selection.mean(nll - base, params)


def _binned(
    quantity: str, replicates: np.ndarray, params: AnalysisParameters
) -> Iterator[tuple[str, int, Interval]]:
    """Means over bins of positions that widen by a third, named by their geometric middle."""
    last = replicates.shape[1] + 1
    first = 2
    while first <= last:
        stop = min(last + 1, max(first + 1, round(first * 4 / 3)))
        # A last bin too narrow to be worth a point goes to the one before it.
        stop = last + 1 if stop + (stop - first) // 2 > last else stop
        mean = replicates[:, first - 2 : stop - 2].mean(axis=1, keepdims=True)
        yield quantity, round(np.sqrt(first * (stop - 1))), intervals(mean, params.confidence)[0]
        first = stop


def is_reference(parameters: Parameters) -> bool:
    """Are these the default corpus, mixture, model and training, whose excess has known bounds?"""
    default = Parameters()
    return all(getattr(parameters, name) == getattr(default, name) for name in _REFERENCE) and (
        parameters.training.model_dump(exclude=_NOT_PROTOCOL)
        == default.training.model_dump(exclude=_NOT_PROTOCOL)
    )


_REFERENCE = ("corpus", "tokenizer", "mixture", "model")
_NOT_PROTOCOL = {*MACHINE_SETTINGS, "log_points", "validation_points", "validation_windows"}


def acceptance(results: pd.DataFrame, reference: bool) -> pd.DataFrame:
    """Does the instrument read right where the truth is known (series chain)?

    No trained model may lie below the exact optimum by more than 3 standard errors, on any split:
    that would mean held-out text in training or a model that sees the future. With the reference
    parameters the excess on test text is below 0.005 nats at K = 1 and 0.015 at K = 5, and grows.

    Parameters
    ----------
    reference : of :func:`is_reference`.

    Returns
    -------
    Columns check, value, bound, passed; empty where the optimum is not known.
    """
    excess = results[(results.quantity == "excess") & (results.series == "chain")]
    rows: list[tuple[str, float, float, bool]] = []
    for k, each in excess.assign(z=excess.value / excess.standard_error).groupby("k"):
        lowest = float(each.z.min())
        check = f"K = {k}: no leak (excess in standard errors, lowest split)"
        # Not `lowest >= -3`: without a standard error nothing speaks of a leak.
        rows.append((check, lowest, -3.0, not lowest < -3))
    test = excess[excess.split == "test"].sort_values("k").set_index("k").value
    if reference:
        for k, bound in _BOUNDS.items():
            if k in test.index:
                value = float(test[k])
                rows.append((f"K = {k}: excess on test text, nats", value, bound, value < bound))
        if len(test) > 1:
            rise = float(test.iloc[-1] - test.iloc[0])
            check = f"excess grows from K = {test.index[0]} to {test.index[-1]}, nats"
            rows.append((check, rise, 0.0, rise > 0))
    return pd.DataFrame(rows, columns=["check", "value", "bound", "passed"])


_BOUNDS = {1: 0.005, 5: 0.015}


def xe_table(results: pd.DataFrame, design: Design, split: str = "test") -> pd.DataFrame:
    """The short table: one row per K, nats a token.

    Returns
    -------
    Columns k, components, xe, low, high (series chain), smallest (XE of the smallest component),
    and where the optimum is known optimum and excess.
    """
    here = results[(results.split == split) & (results.position == 0)].set_index("k").sort_index()

    def rows(quantity: str, series: str) -> pd.DataFrame:
        return here[(here.quantity == quantity) & (here.series == series)]

    xe = rows("xe", "chain")
    table = xe[["value", "low", "high"]].rename(columns={"value": "xe"})
    table.insert(0, "components", [", ".join(design.components[:k]) for k in xe.index])
    table["smallest"] = rows("xe", "smallest").value
    excess = rows("excess", "chain")
    if len(excess):
        table["optimum"] = rows("exact_xe", "chain").value
        table["excess"] = excess.value
    return table.reset_index()
