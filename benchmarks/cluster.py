"""What a large sweep costs beside its training: the runner, the driver's memory, the analysis.

    python benchmarks/cluster.py runner --runs 10 100 1000 --gpus 64
    python benchmarks/cluster.py provenance --runs 10 100 1000
    python benchmarks/cluster.py analysis --runs 500 --windows 10000

`runner`: RayRunner's tasks with a training that does nothing, on one machine that says it has so
many GPUs. Their workers are started before, by as many tasks as there are GPUs. Per run: seconds
until all are finished, processor time of the driver, and the driver's memory.

`provenance`: recording what the files of so many runs were made from, one after the other.

`analysis`: reading the NLL arrays of so many runs (K = 1..5, ten draws, as many seeds as fill them)
and all results from them, as `kedro run --pipelines analysis` without convergence and figures.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import tempfile
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psutil
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from ergokedro.analysis.contrasts import contrasts
from ergokedro.analysis.controls import control_rows, plan_experiment, read_settings
from ergokedro.analysis.curve_fits import fits
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.measurement import measure
from ergokedro.analysis.series import results_table
from ergokedro.analysis.text_units import text_units
from ergokedro.analysis.transfer.rows import transfer
from ergokedro.datasets.atomic import JSONDataset
from ergokedro.design.nll import ExactNLL, NLLArrays, load_nll, save_nll
from ergokedro.design.records import ExactMeta, NLLFingerprints, NLLMeta
from ergokedro.design.runs import Run
from ergokedro.design.runs import chain as chain_run
from ergokedro.parameters import AnalysisParameters, Parameters, TrainingParameters
from ergokedro.pipelines.training.pipeline import create_pipeline
from ergokedro.progress import progress_bar, whole
from ergokedro.runtime import tracking
from ergokedro.runtime.mlflow_store import sqlite_uri
from ergokedro.runtime.provenance import Provenance
from ergokedro.runtime.ray_runner import RayRunner
from ergokedro.runtime.sweep import RunContext
from ergokedro.training.curves import Measurement
from harness import describe_machine
from intervals import NAMES, WINDOW, K, make_design, make_windows

# Everything in the results but the convergence, which reads no windows.
_PARTS = (measure, text_units, fits, contrasts, control_rows, transfer)
_DRAWS = 10


def train_nothing(tokens: int, name: str) -> dict[str, Any]:
    """What stands for training: progress and 200 points of curves, no computing."""
    with progress_bar(name, tokens, "tokens") as bar:
        for step in range(10):
            tracking.log_measurements(
                [Measurement(20 * step + i, 0, "train_loss", "", 2.0) for i in range(20)]
            )
            bar.update(tokens / 10)
    return {"run": name, "tokens": tokens}


def evaluate_nothing(summary: dict[str, Any]) -> dict[str, Any]:
    """What stands for the evaluation."""
    return {"of": summary["run"]}


def make_parts(runs: int, folder: Path) -> tuple[list[Pipeline], DataCatalog]:
    """A training and an evaluation per run, and datasets in `folder`."""
    datasets: dict[str, Any] = {"params:tokens": MemoryDataset(1_000_000)}
    parts = []
    for number in range(runs):
        name = f"k{number}"
        datasets[f"{name}.name"] = MemoryDataset(name)
        for kind in ("trained", "measured"):
            datasets[f"{name}.{kind}"] = JSONDataset(filepath=str(folder / name / f"{kind}.json"))
        train = ["params:tokens", f"{name}.name"]
        parts.append(
            Pipeline(
                [
                    node(
                        train_nothing, train, f"{name}.trained", name="train_model", namespace=name
                    ),
                    node(
                        evaluate_nothing,
                        f"{name}.trained",
                        f"{name}.measured",
                        name="evaluate_model",
                        namespace=name,
                    ),
                ]
            )
        )
    return parts, DataCatalog(datasets)


class CountingHooks:
    """Counts the datasets of which the driver hears that they were saved."""

    saved = 0

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Count."""
        self.saved += 1


@dataclass(frozen=True)
class Cost:
    """Of one sweep; times in seconds per run, memory in bytes."""

    wall: float
    processor: float
    memory: int
    load: float


def run_sweep(runs: int, folder: Path) -> Cost:
    """Run so many empty runs."""
    parts, catalog = make_parts(runs, folder)
    hooks, counting = _create_hook_manager(), CountingHooks()
    hooks.register(counting)
    machine = SimpleNamespace(device=SimpleNamespace(type="cuda"), runs_per_gpu=1)
    plan: Any = SimpleNamespace(machine=machine, training=TrainingParameters(), measured=None)
    start, processor = time.perf_counter(), time.process_time()
    with whole(runs * 1_000_000, "tokens"):
        RayRunner().train(parts, plan, RunContext(catalog, hooks))
    wall, processor = time.perf_counter() - start, time.process_time() - processor
    if counting.saved != 2 * runs:
        raise SystemExit(f"{counting.saved} datasets were saved instead of {2 * runs}.")
    memory = psutil.Process().memory_info().rss
    return Cost(wall / runs, processor / runs, memory, os.getloadavg()[0])


def measure_runner(counts: list[int], gpus: int) -> None:
    """Print the cost of sweeps of so many runs, without and with MLflow."""
    import ray

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # whatever else runs here
    logging.getLogger("ergokedro").setLevel(logging.WARNING)
    ray.init(
        address="local",
        num_cpus=gpus,
        num_gpus=gpus,
        object_store_memory=200_000_000,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    print("\n| runs | MLflow | s per run | driver's s per run | driver's MB | load |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root:
        run_sweep(gpus, Path(root) / "warm-up")
        for tracked in (False, True):
            for runs in counts:
                if tracked:
                    tracker = tracking.Tracker(sqlite_uri(Path(root) / "mlflow.db"), "benchmark")
                    tracker.start("sweep", {}, {})
                    tracking.activate(tracker)
                cost = run_sweep(runs, Path(root) / f"{runs}-{tracked}")
                if tracked:
                    tracker.finish("FINISHED")
                    tracking.activate(None)
                print(
                    f"| {runs:,} | {'yes' if tracked else 'no'} | {cost.wall:.4f} | "
                    f"{cost.processor:.4f} | {cost.memory / 1e6:.0f} | {cost.load:.1f} |",
                    flush=True,
                )
    ray.shutdown()


def measure_provenance(counts: list[int]) -> None:
    """Print what it costs to record all files of so many runs."""
    print("\n| runs | s per run | processor s per run | bytes of the file |")
    print("|---|---|---|---|")
    for runs in counts:
        nodes = create_pipeline([chain_run(k) for k in range(1, runs + 1)]).nodes
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "provenance.json"
            catalog = DataCatalog({"provenance": JSONDataset(filepath=str(file))})
            keys = Provenance(catalog, Parameters().model_dump(mode="json"))
            start, processor = time.perf_counter(), time.process_time()
            for each in nodes:
                for dataset in each.outputs:
                    keys.add(dataset, each)
            keys.write()
            wall, processor = time.perf_counter() - start, time.process_time() - processor
            size = file.stat().st_size
        print(f"| {runs:,} | {wall / runs:.4f} | {processor / runs:.4f} | {size:,} |", flush=True)


def write_runs(plan: list[Run], windows: pd.DataFrame, folder: Path) -> None:
    """NLL that falls with the position, with effects of document and run."""
    rng = np.random.default_rng(0)
    curve = 2.6 + 0.8 * np.arange(2, WINDOW + 1) ** -0.8
    effect = rng.normal(scale=0.1, size=windows.document.nunique())[windows.document]
    rows = windows.groupby("split").indices
    for run in plan:
        noise = rng.normal(scale=0.5, size=(len(windows), 1)) + rng.normal(scale=0.02)
        values = (curve + effect[:, None] + noise).astype(np.float32)
        meta = NLLMeta(
            run=run.name,
            k=run.k,
            seed=run.seed_offset,
            components=[NAMES[position - 1] for position in run.components],
            fingerprints=NLLFingerprints(**dict.fromkeys(NLLFingerprints.model_fields, "")),
            versions={},
        )
        arrays = {str(split): values[index] for split, index in rows.items()}
        save_nll(folder / f"{run.name}.npz", NLLArrays(arrays, meta))


def measure_analysis(runs: int, n_windows: int) -> None:
    """Print seconds and memory of reading and analysing."""
    controls = read_settings({"draws": _DRAWS, "seeds": runs // K // _DRAWS})
    plan = plan_experiment(list(range(1, K + 1)), K, controls)
    windows = make_windows(n_windows // 2, ("validation", "test"))
    windows["document_offset"] = windows.groupby("document").cumcount() * WINDOW
    windows["bytes"] = 4 * (WINDOW - 1)
    with tempfile.TemporaryDirectory() as root:
        write_runs(plan, windows, Path(root))
        before = psutil.Process().memory_info()
        start, processor = time.perf_counter(), time.process_time()
        arrays = {run: load_nll(Path(root) / f"{run.name}.npz") for run in plan}
        loaded = time.perf_counter() - start
        experiment = Experiment(
            make_design(),
            windows,
            arrays,
            ExactNLL({}, ExactMeta(available=False)),
            AnalysisParameters(),
            controls,
        )
        table = results_table(chain.from_iterable(part(experiment) for part in _PARTS))
        wall, processor = time.perf_counter() - start, time.process_time() - processor
        after = psutil.Process().memory_info()
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own = after.rss - after.shared - (before.rss - before.shared)
    print(
        f"{len(plan)} runs of {len(windows):,} windows, {len(table):,} rows: {wall:.1f} s, of "
        f"which {loaded:.1f} s for reading; {processor:.1f} s of processor time; memory of its own "
        f"{own / 1e9:.2f} GB more than before; with mapped files {after.rss / 1e9:.2f} GB are "
        f"resident, {peak / 1e9:.2f} GB at most; load {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    runner = parts.add_parser("runner")
    runner.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000])
    runner.add_argument("--gpus", type=int, default=64)
    provenance = parts.add_parser("provenance")
    provenance.add_argument("--runs", type=int, nargs="+", default=[10, 100, 1000])
    analysis = parts.add_parser("analysis")
    analysis.add_argument("--runs", type=int, default=500)
    analysis.add_argument("--windows", type=int, default=10_000)
    arguments = parser.parse_args()
    describe_machine("kedro", "ray", "mlflow", "numpy")
    if arguments.part == "runner":
        measure_runner(arguments.runs, arguments.gpus)
    elif arguments.part == "provenance":
        measure_provenance(arguments.runs)
    else:
        measure_analysis(arguments.runs, arguments.windows)


if __name__ == "__main__":
    import cluster  # workers import the functions above from there

    cluster.main()
