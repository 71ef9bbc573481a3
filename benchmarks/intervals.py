"""All intervals of a report, and one interval beside what people use for it.

    python benchmarks/intervals.py [--windows 10000]

Five runs and their specialists on as many windows of each split, of 20 windows a document and five
components, 99 positions, B = 2,000. The time of the report is that of everything which
`kedro run --pipelines analysis` measures, less reading and drawing. The peers give the interval of
one mean over all tokens, with documents resampled within components.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from ergokedro.analysis.contrasts import contrasts
from ergokedro.analysis.controls import plan_experiment
from ergokedro.analysis.curve_fits import fits
from ergokedro.analysis.decomposition import decomposition
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.measurement import measure
from ergokedro.analysis.series import ResultRow, Selection, results_table
from ergokedro.analysis.specialists import specialists
from ergokedro.design.mixture import Design
from ergokedro.design.nll import ExactNLL, NLLArrays
from ergokedro.design.records import ExactMeta, NLLFingerprints, NLLMeta
from ergokedro.design.runs import Run
from ergokedro.parameters import AnalysisParameters
from harness import Peer, compare, describe_machine

K, PER_DOCUMENT, WINDOW = 5, 20, 100
NAMES = [f"c{i}" for i in range(1, K + 1)]
PARAMS = AnalysisParameters()


def make_design() -> Design:
    """A design of the five components."""
    return Design(
        components=NAMES,
        tokens=dict.fromkeys(NAMES, 10**6),
        available_windows=dict.fromkeys(NAMES, 10**4),
        total_tokens=10**6,
        window_length=WINDOW,
        within_documents=False,
        chosen_by="tokens",
        rankings={"tokens": NAMES, "documents": NAMES},
        reason="",
        store="",
        tokenizer="",
    )


def make_windows(n: int, splits: tuple[str, ...]) -> pd.DataFrame:
    """`n` windows in every split."""
    rows = n * len(splits)
    windows = pd.DataFrame({"split": np.repeat(splits, n), "start": np.arange(rows) * WINDOW})
    windows["component"] = np.tile(np.repeat(NAMES, n // K), len(splits))
    windows["document"] = np.arange(rows) // PER_DOCUMENT
    return windows


def make_runs(windows: pd.DataFrame) -> dict[Run, NLLArrays]:
    """Random NLL that falls with the position, with an effect of the document."""
    rng = np.random.default_rng(0)
    curve = 2.6 + 0.8 * np.arange(2, WINDOW + 1) ** -0.8
    effect = rng.normal(scale=0.1, size=windows.document.nunique())[windows.document]
    runs = {}
    for run in plan_experiment([1, 2, 3, 4, 5], K, {"specialists": True}):
        shape = (len(windows), WINDOW - 1)
        values = curve + effect[:, None] + rng.normal(scale=0.5, size=shape)
        nll = {
            str(split): values[rows].astype(np.float32)
            for split, rows in windows.groupby("split").indices.items()
        }
        runs[run] = NLLArrays(
            nll,
            NLLMeta(
                run=run.name,
                k=run.k,
                seed=0,
                components=[NAMES[position - 1] for position in run.components],
                fingerprints=NLLFingerprints(**dict.fromkeys(NLLFingerprints.model_fields, "")),
                versions={},
            ),
        )
    return runs


def time_report(windows: pd.DataFrame, runs: dict[Run, NLLArrays]) -> None:
    """Print the seconds of every part of the results."""
    exact = {
        f"{split}/{run.name}": array
        for run, arrays in runs.items()
        if run.in_chain
        for split, array in arrays.nll.items()
    }
    unknown = Experiment(
        make_design(), windows, runs, ExactNLL({}, ExactMeta(available=False)), PARAMS, {}
    )
    known = replace(unknown, exact=ExactNLL(exact, ExactMeta(available=True)))
    parts: dict[str, tuple[Callable[[Experiment], Iterator[ResultRow]], Experiment]] = {
        "XE, L(t), gains, differences": (measure, unknown),
        "the same, with a known optimum": (measure, known),
        "contrasts": (contrasts, unknown),
        "fits of L(t)": (fits, unknown),
        "decomposition": (decomposition, unknown),
        "specialists": (specialists, unknown),
    }
    print("\n| part | rows | seconds |\n|---|---|---|")
    total = 0.0
    for name, (part, experiment) in parts.items():
        start = time.perf_counter()
        rows = len(results_table(part(experiment)))
        seconds = time.perf_counter() - start
        total += seconds if "the same" not in name else 0.0
        print(f"| {name} | {rows:,} | {seconds:.1f} |")
    print(f"| all, without the optimum | | {total:.1f} |")


def ours(selection: Selection, values: np.ndarray) -> Peer:
    """As the report makes it."""
    return Peer("ergokedro", timed(lambda: selection.mean(values, PARAMS)))


def pandas_loop(selection: Selection, values: np.ndarray, replicates: int = 20) -> Peer:
    """Documents drawn and their windows gathered, replicate by replicate."""
    frame = pd.DataFrame({"value": values.mean(axis=1), "document": selection.documents})
    strata = [
        dict(tuple(frame[selection.strata == s].groupby("document")))
        for s in np.unique(selection.strata)
    ]
    rng = np.random.default_rng(0)

    def run() -> None:
        for _ in range(replicates):
            means = []
            for documents in strata:
                drawn = rng.choice(list(documents), size=len(documents))
                means.append(pd.concat([documents[d] for d in drawn]).value.mean())
            np.mean(means)

    return Peer("documents gathered in a loop", timed(run, replicates / PARAMS.bootstrap))


def multinomial(selection: Selection, values: np.ndarray) -> Peer:
    """Counts of every document from numpy's multinomial, times sums by document."""
    frame = pd.DataFrame({"value": values.sum(axis=1), "document": selection.documents})
    rng = np.random.default_rng(0)

    def run() -> None:
        total = 0.0
        for s in np.unique(selection.strata):
            each = frame[selection.strata == s].groupby("document").value.agg(["sum", "size"])
            n = len(each)
            times = rng.multinomial(n, np.full(n, 1 / n), size=PARAMS.bootstrap)
            total = total + (times @ each["sum"].to_numpy()) / (times @ each["size"].to_numpy())
        np.quantile(total, [0.025, 0.975])

    return Peer("numpy's multinomial", timed(run))


def scipy_peer(selection: Selection, values: np.ndarray) -> Peer:
    """scipy.stats.bootstrap of document means, without components."""
    from scipy.stats import bootstrap

    means = pd.Series(values.mean(axis=1)).groupby(selection.documents).mean().to_numpy()

    def run() -> None:
        bootstrap(
            (means,), np.mean, n_resamples=PARAMS.bootstrap, method="percentile", random_state=0
        )

    return Peer("scipy.stats.bootstrap, no strata", timed(run))


def timed(work: Callable[[], object], share: float = 1.0) -> Callable[[], float]:
    """Intervals a second; `work` makes `share` of one."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return share / (time.perf_counter() - start)

    return run


def main() -> None:
    """Measure; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    describe_machine("numpy", "scipy", "pandas")
    windows = make_windows(args.windows, ("validation", "test"))
    runs = make_runs(windows)
    time_report(windows, runs)
    unknown = ExactNLL({}, ExactMeta(available=False))
    experiment = Experiment(make_design(), windows, runs, unknown, PARAMS, {})
    selection = experiment.selection("test", experiment.chain[-1], "all")
    values = next(iter(runs.values())).nll["test"]
    makers = (ours, multinomial, scipy_peer, pandas_loop)
    compare([make(selection, values) for make in makers], "intervals/s", args.repeats)


if __name__ == "__main__":
    main()
