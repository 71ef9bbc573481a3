"""What the documentation shows is true: its code runs, its settings exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import _split_params

import tables
from ergokedro.analysis.controls import all_settings
from ergokedro.cli import grid
from ergokedro.parameters import Parameters, validate_tracking
from ergokedro.runtime.config_loader import check_parameters
from project import ROOT, Project

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM = re.compile(r"(\.venv/bin/)?(kedro|make|mlflow) ")
BLOCK = re.compile(r"```(\w*)([^\n]*)\n(.*?)```", re.DOTALL)


def blocks(language: str) -> list[tuple[str, str, str]]:
    """(page, what stands after the language, code) of every block."""
    found = []
    for page in PAGES:
        for kind, title, code in BLOCK.findall(page.read_text()):
            if kind == language:
                found.append((page.name, title, code))
    return found


def test_every_setting_of_a_command_exists() -> None:
    commands = [
        line
        for page in PAGES
        for line in re.findall(r"kedro run[^`\n|#(]*", page.read_text())
        if "--params" in line
    ]
    assert len(commands) > 20
    for command in commands:
        text = re.search(r"--params (\S+)", command)
        if (
            text is None
            or "plugins" in text[1]
            or any(open_place in text[1] for open_place in ("NAME", "COMMIT", "…", "$"))
        ):
            continue
        given = _split_params(None, None, text[1])
        if "--env" in command:  # another corpus, with as many categories as you like
            given.setdefault("corpus", {}).setdefault("source", "someone/corpus")
        validate_tracking(given.pop("tracking", {}))
        check_parameters(given)  # raises, with the name of what it does not know


def test_every_module_that_a_page_names_exists() -> None:
    """Such as `sources.py`, `runtime/sweep.py` and `tests/training/test_leaks.py`."""
    files = [
        path
        for folder in ("src", "tests", "benchmarks", "docs/results")
        for path in (ROOT / folder).rglob("*.py")
    ]
    paths = [
        f"/{path.relative_to(ROOT).as_posix()}"
        for path in [*files, *(ROOT / "notebooks").iterdir()]
    ]
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for name in re.findall(r"`(?:python )?([\w/]+\.py)\b", text):
            assert any(path.endswith(f"/{name}") for path in paths), f"{page.name} names {name}"


def command_lines() -> list[list[str]]:
    """Every command of a block without a language, without its comment."""
    lines = [line for _, _, code in blocks("") for line in code.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if PROGRAM.match(line)]
    assert len(commands) > 30
    return commands


def test_every_command_is_one() -> None:
    """The programs, their options, environments and targets are there."""
    targets = set(re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets |= {".venv/.installed"}
    environments = {path.name for path in (ROOT / "conf").iterdir()} | {"mine", "cloud"}
    for program, *arguments in command_lines():
        if program == "make":
            assert {a for a in arguments if "=" not in a} <= targets, arguments
        elif program == "mlflow":
            assert arguments[0] in ("ui", "server"), arguments
        elif arguments[:1] == ["run"]:  # click refuses what it does not know
            context = kedro_run.make_context("run", arguments[1:])
            assert context.params["env"] in {None, *environments}, arguments
        elif arguments[:1] == ["grid"]:
            context = grid.make_context("grid", arguments[1:])
            assert context.params["env"] in {None, *environments, "<env>"}, arguments
            check_parameters(context.params["params"])
        else:
            assert arguments[0] in ("viz", "ipython", "jupyter", "package", "registry", "catalog")


def test_every_settings_file_is_valid() -> None:
    shown = 0
    for _, title, code in blocks("yaml"):
        content = yaml.safe_load(code)
        if "corpus" in content or "grid" in content:
            check_parameters(content)
            shown += 1
        else:
            assert content.keys() & {"data_root", "tracking_uri"}, title
    assert shown >= 4


def test_the_reference_has_every_setting() -> None:
    table = tables.parameter_tables()

    def leaves(model: Any, prefix: str = "") -> list[str]:
        inner = {n: f.annotation for n, f in model.model_fields.items()}
        return [
            leaf
            for name, kind in inner.items()
            for leaf in (
                leaves(kind, f"{prefix}{name}.")
                if hasattr(kind, "model_fields")
                else [prefix + name]
            )
        ]

    names = [*leaves(Parameters), *(f"controls.{setting.name}" for setting in all_settings())]
    assert "training.checkpoints.every" in names
    for name in names:
        assert f"`{name}`" in table, name
    assert "`{run}.nll` | NLLDataset | model_output" in tables.catalog_table()


def test_the_examples_run_without_kedro(
    finished: tuple[Project, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = finished[0].copy(tmp_path / "project")
    needed = ",".join(f"specialists.{name}.nll" for name in ("c2_of1", "c1_of2", "c2_of2"))
    form = "controls.specialist_form=epochs"
    settings = "--params", f"controls.specialists=true,{form}", "--to-outputs", needed
    project.run("--pipelines", "mixture_design,training", *settings)
    monkeypatch.chdir(project.root)
    examples = [code for page, _, code in blocks("python") if page == "api.md"]
    assert len(examples) == 8
    names: dict[str, Any] = {}
    for code in examples:
        exec(compile(code, "api.md", "exec"), names)
    terms = names["terms"]
    total = terms.starvation + terms.identification + terms.interference
    assert abs(terms.cost - total).max() < 1e-9
