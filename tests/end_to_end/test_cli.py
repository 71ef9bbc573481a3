"""The real commands, in a project directory of their own."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from project import Project


@pytest.fixture
def project(finished: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the finished project, to be changed at will."""
    return finished[0].copy(tmp_path / "project")


def test_the_main_job_ends_in_a_table_and_the_paths(finished: tuple[Project, str]) -> None:
    project, output = finished
    table = pd.read_csv(project.file("08_reporting", "xe_table.csv"))
    assert table.k.to_list() == [1, 2, 3]
    assert (table.low < table.xe).all()
    assert (table.xe < table.high).all()
    for row in table.itertuples():
        assert f"{row.xe:.4f}" in output
        assert f"{row.optimum:.4f}" in output
    acceptance = pd.read_csv(project.file("08_reporting", "acceptance.csv"))
    assert len(acceptance) == 3  # the leak alarm of each K; bounds are for the default alone
    assert acceptance.passed.all()
    for name in ("report.html", "report.md", "xe_by_k.png", "in_context_xe.png"):
        path = project.file("08_reporting", name)
        assert path.stat().st_size > 1000
    assert f"{path.parent / 'report.html'}\n  {path.parent} (figures and tables)\n" in output
    assert ".png" not in output
    assert "Warning" not in output
    assert "Traceback" not in output


def test_every_k_trains_on_the_same_terms(finished: tuple[Project, str]) -> None:
    project, _ = finished
    summaries = [
        json.loads(project.file("07_model_output", f"k{k}/summary.json").read_text())
        for k in (1, 2, 3)
    ]
    for key in ("steps", "tokens_seen", "schedule", "initial_weights", "parameters"):
        assert len({summary[key] for summary in summaries}) == 1, key
    assert len({summary["final_weights"] for summary in summaries}) == 3
    design = json.loads(project.file("05_model_input", "design.json").read_text())
    assert summaries[0]["tokens_seen"] == design["total_tokens"]


def assert_same_results(project: Project, expected: Project) -> None:
    """Equal data files, but for the speed that was measured, which checkpoints hold, too."""
    measured = ("seconds", "tokens_per_second")
    for name, content in project.files().items():
        other = (expected.root / name).read_bytes()
        if name.endswith("provenance.json"):
            # A model's card is made from all settings, also from those that say which K are run.
            ours = {k: v for k, v in json.loads(content).items() if not k.endswith(".card")}
            assert ours.items() <= json.loads(other).items()
        elif name.endswith("summary.json"):
            ours, theirs = json.loads(content), json.loads(other)
            for key in measured:
                ours.pop(key, None), theirs.pop(key, None)
            assert ours == theirs
        elif name.endswith("history.parquet"):
            frames = [pd.read_parquet(p.root / name) for p in (project, expected)]
            ours, theirs = (f[~f.metric.isin(measured)].reset_index(drop=True) for f in frames)
            pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
        elif ".checkpoints" not in name:
            assert content == other, name


def test_the_same_command_gives_the_same_bytes(
    finished: tuple[Project, str], tmp_path: Path
) -> None:
    again = Project.create(tmp_path / "project")
    again.run("--pipelines", "data_processing,mixture_design,training")
    assert_same_results(again, finished[0])


def tracked_runs(project: Project, run_name: str) -> list[Any]:
    """The runs of that name in MLflow, the latest first."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ergokedro")
    assert experiment is not None
    return list(
        client.search_runs(
            [experiment.experiment_id],
            f"attributes.run_name = '{run_name}'",
            order_by=["attributes.start_time DESC"],
        )
    )


def latest_curve(project: Project, run_name: str) -> list[float]:
    """The training losses that the latest run of that name has in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    run = tracked_runs(project, run_name)[0]
    assert run.info.status == "FINISHED"
    assert np.isfinite(run.data.metrics["test_xe/all"])
    return [point.value for point in client.get_metric_history(run.info.run_id, "train_loss")]


def test_a_killed_run_resumes_and_a_finished_one_is_not_repeated(
    finished: tuple[Project, str], project: Project
) -> None:
    for layer in ("06_models", "07_model_output"):
        shutil.rmtree(project.root / "data" / layer)
    command = "run", "--env", "small", "--pipeline", "training", "--params"
    settings = "k=1-2,training.checkpoints.every=1,training.parallel_runs=1"
    before = len(tracked_runs(project, "k2"))
    process = project.start(*command, settings)
    checkpoints = project.file("06_models", "k2.checkpoints")
    while process.poll() is None and not any(checkpoints.rglob("*.safetensors")):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    output = project.kedro(*command, settings)
    assert "k1 is finished already" in output
    assert "k2 resumes from step" in output
    assert_same_results(project, finished[0])
    for k in (1, 2):  # the whole curves again, in the runs of this command
        assert len(latest_curve(project, f"k{k}")) == 4
    assert [run.data.tags.get("reused") for run in tracked_runs(project, "k1")[:2]] == [
        "true", None
    ]  # fmt: skip
    assert "reused" not in tracked_runs(project, "k2")[0].data.tags
    # The killed command could close neither its own run nor that of k2, if its tracker, for which
    # training does not wait, had begun that one; the next command did.
    statuses = [run.info.status for run in tracked_runs(project, "synthetic: training")[:2]]
    assert statuses == ["FINISHED", "KILLED"]
    of_k2 = [run.info.status for run in tracked_runs(project, "k2")]
    assert of_k2[: len(of_k2) - before] in (["FINISHED", "KILLED"], ["FINISHED"])
    assert sorted(p.name for p in project.file("06_models", "").iterdir()) == [
        "k1", "k1.checkpoints", "k2", "k2.checkpoints"
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama", "mamba2", "gpt2"])
def test_another_architecture_in_the_real_commands(project: Project, name: str) -> None:
    """The plan, a sweep, the same runs one after the other, MLflow, and the directories."""
    from transformers import AutoModelForCausalLM

    settings = f"shared_data=synthetic,k=1-2,model.architecture={name},model.num_layers=1"
    command = "--pipelines", "mixture_design,training", "--params"
    project.run(*command[:1], "mixture_design", "--params", f"experiment=sweep,{settings}")
    plan = project.run(*command, f"experiment=sweep,plan=true,{settings}")
    assert "Model: " in plan
    assert not (project.root / "data" / "07_model_output" / "sweep").exists()

    weights = {}
    for experiment, at_once in (("sweep", 2), ("alone", 1)):
        given = f"experiment={experiment},training.parallel_runs={at_once},{settings}"
        project.run(*command, given)
        output = project.root / "data" / "07_model_output" / experiment
        summaries = [json.loads((output / k / "summary.json").read_text()) for k in ("k1", "k2")]
        weights[experiment] = [summary["final_weights"] for summary in summaries]
        for k in (1, 2):
            assert len(latest_curve(project, f"k{k}")) == 4
    assert weights["sweep"] == weights["alone"]
    folder = project.root / "data" / "06_models" / "sweep" / "k2"
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert model.config.model_type == name
    assert f"({name})" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "only",
    [
        ("--to-outputs", "results,decomposition.figure"),
        pytest.param((), marks=pytest.mark.slow),  # the report and all of its figures
    ],
)
def test_controls_are_runs_of_the_same_template(project: Project, only: tuple[str, ...]) -> None:
    """Every control at once, on top of a finished chain, which is not trained again."""
    names = ("specialists", "subsets", "growing", "pseudo")
    settings = ",".join(["k=1-2", "mixture.top_n=2", *(f"controls.{n}=true" for n in names)])
    shutil.rmtree(project.root / "data" / "08_reporting")
    output = project.run("--params", f"{settings},controls.seeds=2", *only)
    trained = {path.parent.name for path in project.root.rglob("summary.json")}
    trained_alone = tuple(f"{name}_best" for name in ("c1_of1", "c2_of1", "c1_of2", "c2_of2"))
    assert {
        "k1",
        "k2",
        "seeds.k2_seed1",
        *(f"specialists.{name}" for name in trained_alone),
    } <= trained
    assert "subsets.c1_c2" not in trained  # the chain's own
    results = pd.read_parquet(project.file("08_reporting", "results.parquet"))
    cost = results[(results.series == "chain") & (results.position == 0)]
    value = cost[cost.split == "test"].set_index("quantity").value
    terms = value.starvation + value.identification + value.interference
    assert terms == pytest.approx(value.cost, abs=1e-9)
    assert value.identification <= value.identification_bound
    assert {"balanced", "growing", "pseudo", "seeds"} <= set(results.series)
    assert f"{project.file('08_reporting', '')} (figures and tables)" in output
    assert project.file("08_reporting", "decomposition.svg").is_file()
    if only:
        return
    for figure in ("controls", "specialists", "distinguishability", "exchange"):
        assert project.file("08_reporting", f"{figure}.svg").is_file()
    for figure in ("xe_by_k", "in_context_xe", "component_heatmap", "specialists"):
        assert "data" in json.loads(project.file("08_reporting", f"{figure}.json").read_text())
    report = project.file("08_reporting", "report.html").read_text()
    assert "<h2>Where it comes from</h2>" in report
    assert "The cost of K, term by term" in report
    assert "pseudo-components" in report


@pytest.mark.slow  # that every file names its encoding is a rule of ruff
def test_a_machine_whose_encoding_is_ascii(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LC_ALL", "C"), ("PYTHONUTF8", "0"), ("PYTHONCOERCECLOCALE", "0")):
        monkeypatch.setenv(name, value)
    project = Project.create(tmp_path / "project")
    rows = [f"größer {i} gleich 数 {i % 7}\n" * 30 for i in range(60)]
    lines = [json.dumps({"text": row, "label": "üx"[i % 2]}) for i, row in enumerate(rows)]
    (tmp_path / "own.jsonl").write_text("\n".join(lines), encoding="utf-8")
    settings = f"experiment=own,corpus.source={tmp_path / 'own.jsonl'},k=1-2,mixture.top_n=2"
    pipelines = "data_processing,mixture_design"
    project.kedro_from_scratch(
        "run", "--env", "small", "--pipelines", pipelines, "--params", settings
    )
    folder = project.root / "data"
    budgets = pd.read_csv(folder / "08_reporting" / "own" / "budgets.csv")
    assert "ü" in set(budgets.to_numpy().ravel())
    manifest = (folder / "05_model_input" / "own" / "manifests" / "k2.json").read_bytes()
    assert {c["label"] for c in json.loads(manifest)["components"]} == {"ü", "x"}


def test_one_k_alone(project: Project) -> None:
    for k in (1, 2, 3):
        project.file("07_model_output", f"k{k}/nll.npz").unlink()
    project.run("--pipeline", "training", "--params", "k=3")
    assert project.file("07_model_output", "k3/nll.npz").exists()
    assert not project.file("07_model_output", "k1/nll.npz").exists()
    output = project.run("--pipeline", "analysis", status=1)
    assert "Missing: k1.nll, k2.nll" in output
    assert "kedro run --pipelines training" in output


def test_registry_and_catalog_commands(finished: tuple[Project, str]) -> None:
    project, _ = finished
    output = project.kedro("registry", "describe", "training")
    assert "k5.train_model" in output
    output = project.kedro("catalog", "describe-datasets", "--pipeline", "training")
    assert "k3.manifest" in output


@pytest.mark.slow
def test_the_graph_in_kedro_viz(finished: tuple[Project, str]) -> None:
    project, _ = finished
    project.kedro("viz", "build", env="small")
    graph = json.loads((project.root / "build" / "api" / "main").read_text())
    names = {node["full_name"] for node in graph["nodes"] if "full_name" in node}
    boxes = {f"training.k{k}" for k in (1, 2, 3)}
    assert boxes <= {node["id"] for node in graph["nodes"]}
    assert graph["layers"] == [
        "raw", "intermediate", "primary", "feature", "model_input", "models", "model_output",
        "reporting",
    ]  # fmt: skip
    assert {"fetch_corpus", "make_manifests", "measure"} <= names


def test_mlflow_holds_a_parent_and_a_child_for_every_k(finished: tuple[Project, str]) -> None:
    from mlflow import MlflowClient

    project, _ = finished
    client = MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ergokedro")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    children = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.run_name == "synthetic: everything"
    assert sorted(children) == ["k1", "k2", "k3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(child.info.end_time < parent.info.end_time for child in children.values())
    assert parent.data.params["training.epochs"] == "1"
    kept = parent.data.metrics["cleaning/kept"]
    assert kept == len(pd.read_parquet(project.file("02_intermediate", "documents.parquet")))
    assert parent.data.metrics["cleaning/duplicate"] == 0
    files = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"report.html", "xe_by_k.png", "results.parquet"} <= files
    for k in (1, 2, 3):
        run = children[f"k{k}"]
        params = run.data.params
        assert params["k"] == str(k)
        assert params["components"].count("source") == k
        for name in ("D", "tokens_seen", "seed", "git_commit", "model", "manifest_fingerprint"):
            assert params[name], name
        assert "store_fingerprint" in params
        assert "tokenizer_fingerprint" in params
        for name in ("test_xe/all", "test_xe/source-1", "validation_xe/source-3", "train_loss"):
            assert np.isfinite(run.data.metrics[name]), name
        assert len(client.get_metric_history(run.info.run_id, "train_loss")) == 4
        names = {"learning_rate", "gradient_norm", "tokens_per_second"}
        assert names <= set(run.data.metrics)
        assert [a.path for a in client.list_artifacts(run.info.run_id)] == ["manifest.json"]


def test_ctrl_c_saves_and_the_same_command_would_resume(project: Project) -> None:
    from mlflow import MlflowClient

    shutil.rmtree(project.root / "data" / "06_models")
    command = "run", "--env", "small", "--pipeline", "training", "--params"
    settings = "training.epochs=400,training.checkpoints.every=1,training.parallel_runs=2"
    process = project.start(*command, settings)
    folder = project.file("06_models", "")
    started: set[str] = set()
    while len(started) < 2 and process.poll() is None:
        time.sleep(0.02)
        started = {p.relative_to(folder).parts[0] for p in folder.rglob("*.safetensors")}
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in output
    assert f"resumes from there:\n  kedro {' '.join(command)} {settings}" in output
    saved = dict(re.findall(r"(k\d): cancelled after step (\d+) of 2800, saved", output))
    assert len(saved) == 2  # those that were trained side by side

    client = MlflowClient(f"sqlite:///{project.root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ergokedro")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "attributes.status != 'FINISHED'")
    assert {run.info.status for run in runs} == {"KILLED"}
    names = {run.info.run_name for run in runs}
    assert names == {"synthetic: training", *saved}

    before = project.files()
    plan = project.run("--pipeline", "training", "--params", f"{settings},plan=true")
    states = dict(re.findall(r"^(k\d) .* resumes from step (\S+)$", plan, re.MULTILINE))
    assert {run: step.replace(",", "") for run, step in states.items()} == saved
    for name in ("Model:", "Memory:", "Disk:", "Time:"):
        assert f"\n{name}" in plan
    assert "analysis.detect = 0.01 needs" in plan
    assert project.files() == before


def test_the_plan_of_what_is_finished(project: Project) -> None:
    before = project.files()
    output = project.run("--pipeline", "training", "--params", "k=3,plan=true")
    rows = [line.split() for line in output.splitlines()]
    manifest = json.loads(before["data/05_model_input/synthetic/manifests/k3.json"])
    tokens = sum(c["windows"] for c in manifest["components"]) * 100
    assert ["k3", "3", f"{tokens:,}", "7", "finished"] in rows
    assert "Time: nothing to train; 1 run is finished" in output
    assert "K = 1 and another K are not both run" in output
    assert project.files() == before


@pytest.mark.slow
def test_an_unreachable_tracking_server_does_not_stop_the_experiment(project: Project) -> None:
    file = project.root / "conf" / "small" / "tracking.yml"
    file.write_text(
        "enabled: true\ntracking_uri: sqlite:////proc/mlflow.db\nexperiment: ergokedro\n"
    )
    output = project.run("--pipeline", "training", "--params", "k=1")
    assert "MLflow tracking stopped" in output
