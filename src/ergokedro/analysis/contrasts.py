"""K against K = 1 on the same windows, with the chance of draws, seeds and documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise, product
from typing import Any

import numpy as np

from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.families import Decision, decide
from ergokedro.analysis.measurement import in_context_gain
from ergokedro.analysis.random_effects import Estimate
from ergokedro.analysis.series import ByRepeat, ResultRow, Selection
from ergokedro.design.nll import SplitArrays
from ergokedro.design.runs import Run

# K -> NLL in every draw and with every seed that K was run with.
Replicates = Mapping[int, ByRepeat]


def contrasts(experiment: Experiment) -> Iterator[ResultRow]:
    """Contrasts and slope of the chain on the smallest component, which all K were trained on.

    Yields
    ------
    Rows of series 'smallest' as of :func:`series_contrasts`, and

    - gain_difference_to_k1: in-context gain of K less that of K = 1, paired by window;
    - slope_log_k: least-squares slope of XE against log K, nats per token per unit of log K.

    Nothing without K = 1 and another K.
    """
    for split in experiment.splits:
        replicates = chain_replicates(experiment, split)
        if 1 not in replicates or len(replicates) < 2:
            return
        run = experiment.chain[0]
        selection = experiment.selection(split, run, "smallest")
        total = experiment.design.total_tokens
        tags = {k: {**experiment.tags(run), "run": f"k{k}", "k": k, "tokens": total // k}
                for k in replicates}  # fmt: skip
        yield from series_contrasts(experiment, selection, replicates, tags)
        gains = {
            k: {key: in_context_gain(nll) for key, nll in by_repeat.items()}
            for k, by_repeat in replicates.items()
        }
        for k, estimate in differences(experiment, selection, gains).items():
            yield selection.row("gain_difference_to_k1", estimate, **tags[k])
        slope = _slope(experiment, selection, replicates)
        last = {**tags[max(replicates)], "run": "chain", "tokens": 0}
        yield selection.row("slope_log_k", slope, **last)


def chain_replicates(experiment: Experiment, split: str) -> Replicates:
    """The chain in every draw and with every seed."""
    return replicates_of(experiment, split, find_by_k(experiment, experiment.chain))


def find_by_k(
    experiment: Experiment, wanted: Iterable[Run]
) -> dict[int, dict[tuple[int, int], Run]]:
    """K -> (draw, seed offset) -> the run that repeats one of `wanted`, whatever its name."""
    bases = {run.base: run.k for run in wanted}
    runs: dict[int, dict[tuple[int, int], Run]] = {}
    for run in experiment.runs:
        if run.base in bases:
            runs.setdefault(bases[run.base], {})[run.draw, run.seed_offset] = run
    return dict(sorted(runs.items()))


def replicates_of(
    experiment: Experiment, split: str, runs: Mapping[int, Mapping[tuple[int, int], Run]]
) -> Replicates:
    """The NLL of the runs of :func:`find_by_k` on one split."""
    return {
        k: SplitArrays({key: experiment.nll[run] for key, run in by_repeat.items()}, split)
        for k, by_repeat in runs.items()
    }


def shared_repeats(replicates: Replicates) -> list[tuple[int, int]]:
    """The draws and seeds that every K was run with, ascending."""
    return sorted(set.intersection(*(set(by_repeat) for by_repeat in replicates.values())))


class PairedDifference(ByRepeat):
    """`minuend` less `subtrahend` in every draw and with every seed that both have: float64, nats.

    A difference is computed when it is asked for, so that one at a time is in memory.
    """

    def __init__(self, minuend: ByRepeat, subtrahend: ByRepeat):
        self._minuend, self._subtrahend = minuend, subtrahend
        self._keys = sorted(minuend.keys() & subtrahend.keys())

    def __getitem__(self, key: tuple[int, int]) -> np.ndarray:
        return np.asarray(self._minuend[key].astype(np.float64) - self._subtrahend[key])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def series_contrasts(
    experiment: Experiment,
    selection: Selection,
    replicates: Replicates,
    tags: Mapping[int, Mapping[str, Any]],
) -> Iterator[ResultRow]:
    """XE of K less that of K = 1, decided upon as one family.

    Parameters
    ----------
    tags : of the rows of each K.

    Yields
    ------
    For every K but 1

    - difference_to_k1, paired by window, draw and seed;
    - difference_to_previous: the same, less that of the next smaller K that was run;
    - p_value: two-sided, Student's t; p_value_holm: corrected for the family of all K (Holm 1979);
    - variance_NAME: what draws, seeds, documents and their interactions contribute to the variance
      of the difference, nats^2; for draws, `note` says how much text they have in common;
    - needed_UNIT, where the sign is not determined: how many draws, seeds or documents per
      component would determine an effect of `analysis.detect` nats.
    """
    family = differences(experiment, selection, replicates)
    decisions = decide(
        list(family.values()), experiment.params.confidence, experiment.params.detect
    )
    for k, estimate in differences(experiment, selection, replicates, previous=True).items():
        yield selection.row("difference_to_previous", estimate, **tags[k])
    for (k, estimate), decision in zip(family.items(), decisions, strict=True):
        yield selection.row("difference_to_k1", estimate, note=decision.word, **tags[k])
        yield from _decision_rows(selection, decision, tags[k])
        for name, contribution in _contributions(estimate).items():
            note = _common_text(experiment, k) if "draws" in name else ""
            yield selection.row(
                f"variance_{name}", contribution, unit="nats^2", note=note, **tags[k]
            )


def differences(
    experiment: Experiment, selection: Selection, replicates: Replicates, previous: bool = False
) -> dict[int, Estimate]:
    """K -> XE of K less that of K = 1, over the draws and seeds that both were run with.

    Parameters
    ----------
    previous : less that of the next smaller K instead.
    """
    ks = sorted(replicates)
    family = {}
    for smaller, k in pairwise(ks) if previous else product([1], ks):
        by_repeat = PairedDifference(replicates[k], replicates.get(smaller, {}))
        if k > 1 and by_repeat:
            family[k] = selection.estimate_repeats(by_repeat, experiment.params)
    return family


def _decision_rows(
    selection: Selection, decision: Decision, tags: Mapping[str, Any]
) -> Iterator[ResultRow]:
    values = {"p_value": decision.p_value, "p_value_holm": decision.p_adjusted}
    for quantity, value in values.items():
        yield selection.row(quantity, value, unit="probability", **tags)
    for unit, number in decision.needed.items():
        value = float("inf") if number is None else float(number)
        yield selection.row(f"needed_{unit}", value, unit="count", **tags)


def _common_text(experiment: Experiment, k: int) -> str:
    """What makes the variance between draws too small, if anything does."""
    share = max(experiment.common_text.get(n, 0.0) for n in (1, k))
    return f"two draws have {share:.0%} of their text in common" if share else ""


def _contributions(estimate: Estimate) -> dict[str, float]:
    """Contributions to the variance by name, those of all components' documents together."""
    total: dict[str, float] = defaultdict(float)
    for component in estimate.components:
        total[component.name.replace(":", "_")] += component.contribution
    return total


def _slope(experiment: Experiment, selection: Selection, replicates: Replicates) -> Estimate:
    """Least-squares slope of XE against log K, in every draw and with every seed."""
    x = np.log(np.array(list(replicates), dtype=np.float64))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    shared = shared_repeats(replicates)
    stacked = (np.stack([by_repeat[key] for by_repeat in replicates.values()]) for key in shared)
    values = (np.tensordot(weights, nll, axes=1) for nll in stacked)
    return selection.estimate(values, experiment.params, [draw for draw, _ in shared])
