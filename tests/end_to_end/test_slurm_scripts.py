"""The scripts for Slurm: checked by shellcheck, and run with stand-ins for Slurm's commands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from project import ROOT

SCRIPTS = ROOT / "docs/howto/scripts"


def run(script: str, folder: Path, *arguments: str, **variables: str) -> list[str]:
    """The commands of Slurm that a script gives, in order; each is a stand-in that answers 7."""
    for name in ("sbatch", "srun", "scontrol"):
        stand_in = folder / name
        line = f'echo "{name} $*" >> {folder}/log; echo 7; exit ${{STATUS_{name}:-0}}'
        stand_in.write_text(f"#!/bin/sh\n{line}\n")
        stand_in.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
    subprocess.run(["bash", SCRIPTS / script, *arguments], cwd=folder, env=environment)
    return (folder / "log").read_text().splitlines()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_no_complaint() -> None:
    scripts = sorted(SCRIPTS.glob("*.sh"))
    assert len(scripts) == 3
    result = subprocess.run(["shellcheck", *scripts], stdout=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stdout


def test_a_sweep_is_three_jobs_one_after_another(tmp_path: Path) -> None:
    prepare, train, analyse = run("slurm_sweep.sh", tmp_path, "arxiv", "5")
    job = SCRIPTS / "slurm_job.sh"
    assert prepare.endswith(f"{job} data_processing,mixture_design")
    assert train.endswith(f"--array=1-5 --dependency=afterok:7 {job} training")
    assert analyse.endswith(f"--dependency=afterok:7 {job} analysis")


def test_a_task_of_an_array_trains_its_run(tmp_path: Path) -> None:
    variables = {"SLURM_CPUS_PER_TASK": "4", "SLURM_ARRAY_TASK_ID": "3", "SETTINGS": "seed=1"}
    for first, references in (("3", ""), ("1", ",references=")):
        variables |= {"SLURM_JOB_ID": "9", "SLURM_ARRAY_TASK_MIN": first}
        command = run("slurm_job.sh", tmp_path, "training", **variables)[-1]
        params = f"training.threads=4,seed=1,k=3{references}"
        assert command == f"srun .venv/bin/kedro run --pipelines training --params {params}"


def test_a_job_at_the_end_of_its_time_is_requeued(tmp_path: Path) -> None:
    variables = {"SLURM_CPUS_PER_TASK": "4", "SLURM_JOB_ID": "9", "STATUS_srun": "143"}
    commands = run("slurm_job.sh", tmp_path, "analysis", **variables)
    assert commands[1:] == ["scontrol requeue 9"]


def test_ray_starts_on_all_nodes(tmp_path: Path) -> None:
    variables = {
        "SLURM_JOB_NODELIST": "n[1-4]",
        "SLURM_JOB_NUM_NODES": "4",
        "SLURM_CPUS_ON_NODE": "16",
    }
    hosts, ray = run("slurm_ray.sh", tmp_path, "--env", "arxiv", **variables)
    assert hosts == "scontrol show hostnames n[1-4]"
    assert "--address 7:6379 --min-nodes 4 --num-cpus 16 -- .venv/bin/kedro run" in ray
    assert ray.endswith("--runner ergokedro.runtime.RayRunner --env arxiv")
