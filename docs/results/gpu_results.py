"""From what `gpu.py train` left to the kept tables.

    python docs/results/gpu_results.py unpack OUT               # into data/, for the analysis
    python docs/results/gpu_results.py analyse CORPUS [NAME...] # `kedro run --pipelines analysis`
    python docs/results/gpu_results.py compare                  # `kedro run --pipeline comparison`
    python docs/results/gpu_results.py keep COMMIT MACHINE [NAME...]  # tables into docs/results/
    python docs/results/gpu_results.py devices NAME= NAME=OUT...      # devices.csv
    python docs/results/gpu_results.py averaged                       # averaged.csv

COMMIT is that of the training.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import page
import pandas as pd
from kedro.framework.startup import bootstrap_project

import gpu
from ergokedro.analysis.transfer.grid_documents import document_means
from ergokedro.analysis.transfer.over_grid import rows_of_runs
from ergokedro.design.evaluation_windows import windows_fingerprint
from ergokedro.design.mixture import Manifest
from ergokedro.design.nll import NLLArrays, load_nll, save_nll
from ergokedro.design.records import NLLMeta
from ergokedro.files import flatten
from ergokedro.runtime.sweep import SweepSession
from ergokedro.runtime.tracking import git_commit

ROOT = gpu.ROOT
REPORTED = "own-text"  # has most kinds of figures
# Experiments of the grid whose runs are among those of another one.
TAKEN = {
    "balanced-300k": "grid-D300000-micro",
    "balanced-tiny": "grid-D300000-tiny",
    "balanced-14m": "grid-D600000-pythia-14m",
}


def unpack(out: str) -> None:
    """Write what `train` has left where the catalog has it."""
    for file in sorted(Path(out).rglob("*.tar")):
        with tarfile.open(file) as archive:
            content = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
        for folder in dict.fromkeys(os.path.dirname(name) for name in content):
            target = ROOT / "data" / "07_model_output" / folder
            target.mkdir(parents=True, exist_ok=True)
            for name in ("history.parquet", "summary.json"):
                (target / name).write_bytes(content[f"{folder}/{name}"])
            nll = {split: gpu.decode(content[f"{folder}/{split}.nll"]) for split in gpu.STEPS}
            meta = NLLMeta.model_validate_json(content[f"{folder}/meta.json"])
            save_nll(target / "nll.npz", NLLArrays(nll, meta))
        print(file.stem)
    for source, target in TAKEN.items():
        if (ROOT / "data" / "07_model_output" / source).exists():
            _take_runs(source, target)


def _take_runs(source: str, target: str) -> None:
    """Give an experiment the runs of another one with equal manifests and more documents."""
    model_input, output = ROOT / "data" / "05_model_input", ROOT / "data" / "07_model_output"
    more, fewer = (
        pd.read_parquet(model_input / name / "evaluation_windows.parquet")
        for name in (source, target)
    )
    for file in (model_input / target / "manifests").glob("*.json"):
        assert file.read_bytes() == (model_input / source / "manifests" / file.name).read_bytes()
        run, taken = output / source / file.stem, output / target / file.stem
        arrays = load_nll(run / "nll.npz")
        nll = {}
        for split, values in arrays.nll.items():
            rows = pd.Series(range(len(values)), index=more[more.split == split].start)
            nll[split] = np.array(values[rows[fewer[fewer.split == split].start]])
        prints = {"evaluation_windows": windows_fingerprint(fewer)}
        fingerprints = arrays.meta.fingerprints.model_copy(update=prints)
        meta = arrays.meta.model_copy(update={"fingerprints": fingerprints})
        taken.mkdir(parents=True, exist_ok=True)
        for name in ("history.parquet", "summary.json"):
            shutil.copy(run / name, taken)
        save_nll(taken / "nll.npz", NLLArrays(nll, meta))


def analyse(corpus: str, *names: str) -> None:
    """Analyse the experiments whose runs are all there."""
    bootstrap_project(ROOT)
    for name in names or gpu.experiments():
        design = ROOT / "data" / "05_model_input" / name
        results = ROOT / "data" / "07_model_output" / name
        runs = {file.stem for file in (design / "manifests").glob("*.json")}
        if missing := {run for run in runs if not (results / run / "nll.npz").exists()}:
            print(f"{name}: {len(missing)} of {len(runs)} runs are missing")
            continue
        params = gpu.settings_of(name, corpus)
        with SweepSession.create(project_path=ROOT, env="laptop", runtime_params=params) as session:
            session.run(pipeline_names=["analysis"])


def compare() -> None:
    """Compare the experiments that the page compares."""
    import page

    bootstrap_project(ROOT)
    for names in page.COMPARED:
        params = {"experiments": names, "tracking": {"enabled": False}}
        with SweepSession.create(project_path=ROOT, env="laptop", runtime_params=params) as session:
            session.run(pipeline_names=["comparison"])


def keep(commit: str, machine: str, *names: str) -> None:
    """Keep the tables of the experiments that are analysed, and the report of REPORTED.

    Beside them the means of documents that the laws over D are fitted to, and the differences
    between experiments.
    """
    analysed = git_commit(ROOT)
    for name in names or gpu.experiments():
        if (ROOT / "data" / "08_reporting" / name / "results.parquet").exists():
            options = [] if name == REPORTED else ["--tables"]
            options += ["--commit", analysed, "--trained", commit, "--machine", machine]
            script = str(Path(__file__).parent / "keep.py")
            subprocess.run([sys.executable, script, name, command(name), *options], check=True)
    _keep_differences()
    _keep_documents()


def devices(*columns: str) -> None:
    """Keep the XE of the runs of one experiment that was trained several times.

    Parameters
    ----------
    columns : name of a column and, after '=', the folder OUT of its training; none for the runs in
        data/.
    """
    experiment = "grid-D300000-pythia-14m"
    windows, manifests = _design(experiment)
    table = pd.DataFrame({"k": {run: len(labels) for run, labels in manifests.items()}})
    for column in columns:
        name, out = column.rsplit("=", 1)
        nll = _trained_in(Path(out), experiment) if out else _in_data(experiment, manifests)
        table[name] = [
            round(float(nll[run][windows.component.isin(labels)].mean(dtype=np.float64)), 5)
            for run, labels in manifests.items()
        ]
    table.sort_index().to_csv(page.HERE / page.DEVICES, index_label="run")


def _design(experiment: str) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The test windows, and the components of every run."""
    design = ROOT / "data" / "05_model_input" / experiment
    windows = pd.read_parquet(design / "evaluation_windows.parquet")
    manifests = {
        file.stem: Manifest.model_validate_json(file.read_text()).labels
        for file in (design / "manifests").glob("*.json")
    }
    return windows[windows.split == "test"], manifests


def _trained_in(out: Path, experiment: str) -> dict[str, np.ndarray]:
    """Test NLL of every run in what `train` left in a folder."""
    nll = {}
    for file in out.glob(f"{experiment}.*.tar"):
        with tarfile.open(file) as archive:
            for member in archive:
                if member.name.endswith("/test.nll"):
                    content = archive.extractfile(member).read()  # type: ignore[union-attr]
                    nll[Path(member.name).parent.name] = gpu.decode(content)
    return nll


def _in_data(experiment: str, runs: Iterable[str]) -> dict[str, np.ndarray]:
    """Test NLL of every run in data/."""
    folder = ROOT / "data" / "07_model_output" / experiment
    return {run: load_nll(folder / run / "nll.npz").nll["test"] for run in runs}


def averaged() -> None:
    """Keep the XE of K = 5 in `literal-parts` and in `literal-averaged`, by component."""
    table = {}
    for column, name in (("chain", "literal-parts"), ("averaged", "literal-averaged")):
        rows = pd.read_parquet(ROOT / "data" / "08_reporting" / name / "results.parquet")
        rows = rows[(rows.quantity == "xe") & (rows.series == "component") & (rows.k == 5)]
        rows = rows[(rows.split == "test") & (rows.position == 0)]
        table[column] = rows.set_index("component").value.round(5)
    pd.DataFrame(table).to_csv(page.HERE / page.AVERAGED)


def _keep_differences() -> None:
    """Keep the paired differences between the effects of K in the experiments of the page."""
    tables = [
        pd.read_parquet(ROOT / "data" / "08_reporting" / names / "comparison.parquet")
        for names in page.COMPARED
    ]
    rows = pd.concat(tables, ignore_index=True)
    kept = (rows.reference != "") & (rows.quantity == "effect_difference") & (rows.split == "test")
    rows[kept].reset_index(drop=True).to_parquet(page.HERE / page.DIFFERENCES)


def _keep_documents() -> None:
    """Keep the documents' means under the runs that the page's laws are fitted to."""
    data = ROOT / "data"
    tables = page.Tables(page.HERE)
    rows = pd.concat([rows_of_runs(tables.grid(size)) for size in page.GRIDS])
    windows = {
        name: partial(
            pd.read_parquet, data / "05_model_input" / name / "evaluation_windows.parquet"
        )
        for name in rows.experiment.unique()
    }
    names = (rows.experiment + "/" + rows.run).unique()
    nll = {name: partial(load_nll, data / "07_model_output" / name / "nll.npz") for name in names}
    means = document_means(rows, windows, nll, "test").astype({"xe": "float32"})
    means.to_parquet(page.HERE / page.DOCUMENTS, compression="zstd", compression_level=19)


def command(name: str) -> str:
    """What trains and analyses the same runs one by one where Kedro is installed."""
    values = flatten(
        {key: v for key, v in gpu.settings_of(name, "/data/arxiv").items() if v is not None}
    )
    values.pop("tracking.enabled")
    params = [f"{key}={_text(value)}" for key, value in values.items() if value is not None]
    return f"kedro run --env laptop --params '{','.join(params)}'"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {
        "unpack": unpack, "analyse": analyse, "compare": compare, "keep": keep,
        "devices": devices, "averaged": averaged,
    }  # fmt: skip
    commands[sys.argv[1]](*sys.argv[2:])
