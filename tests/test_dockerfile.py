"""The image is written as hadolint advises; it is built where Docker runs."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from project import ROOT


def test_hadolint_finds_nothing() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed (extra `dev`)")
    lint = subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (lint.stdout, lint.returncode) == ("", 0)


@pytest.mark.slow
def test_the_image_runs_the_project() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True).returncode
    ):
        pytest.skip("no Docker daemon runs")
    subprocess.run(["docker", "build", "--tag", "ergokedro-test", "."], cwd=ROOT, check=True)
    command = ["docker", "run", "--rm", "ergokedro-test", "kedro", "run", "--params", "plan=true"]
    subprocess.run(command, check=True)
