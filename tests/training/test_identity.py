"""What decides whether results are found again: all that computes, and nothing else."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ergokedro.models.architecture import ModuleArchitecture
from ergokedro.parameters import CheckpointParameters
from ergokedro.registry import load_plugins
from ergokedro.training.identity import (
    PACKAGE,
    code_fingerprint,
    package_sources,
    run_identity,
    versions,
)
from ergokedro.training.optimizers import OPTIMIZERS
from small_training import MODEL, PARAMS
from toy_plugin import Bigram, BigramArchitecture


def identity(**changes: Any) -> dict[str, Any]:
    return run_identity("m", 0, MODEL, PARAMS.model_copy(update=changes), "w")


def test_settings_that_decide_a_run_and_those_that_do_not() -> None:
    assert identity(epochs=2) != identity()
    assert identity(validation_points=3) != identity()  # the curves are results
    checkpoints = {"checkpoints": CheckpointParameters(every=1)}
    for same in ({"device": "cuda"}, {"threads": 4}, checkpoints, {"repeat": True}):
        assert identity(**same) == identity()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "ergokedro"))


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_change_of_what_computes_changes_the_fingerprint(package: Path) -> None:
    """The order of the batches in both of its modules, a model, a registered optimizer."""
    fingerprints = {code_fingerprint(package_sources(package))}
    changes = [
        (
            "training/batches.py",
            "epoch[1][index * batch_size :",
            "epoch[1][1 + index * batch_size :",
        ),
        ("design/training_windows.py", "starts[rng.permutation(len(starts))]", "starts[::-1]"),
        ("models/gpt_neox/modules.py", "functional.gelu", "functional.relu"),
        ("training/muon.py", "_MOMENTUM = 0.95", "_MOMENTUM = 0.9"),
    ]
    for file, old, new in changes:
        change(package / file, old, new)
        fingerprints.add(code_fingerprint(package_sources(package)))
    (package / "models" / "another.py").write_text("x = 1\n")
    fingerprints.add(code_fingerprint(package_sources(package)))
    assert len(fingerprints) == 2 + len(changes)


def test_comments_docstrings_and_layout_change_nothing(package: Path) -> None:
    before = package_sources(package)
    file = package / "training" / "batches.py"
    text = file.read_text()
    assert text.startswith('"""')
    file.write_text('"""Another docstring."""\n# A comment.\n\n\n' + text.split('"""', 2)[2])
    change(file, '"""As :meth:`TrainingWindows.batch`, on the device."""', '"""Other words."""')
    for other in ("reporting/report.py", "runtime/hooks.py", "parameters/training.py"):
        (package / other).write_text("raise SystemExit\n")  # computes nothing
    after = package_sources(package)
    assert after != before
    assert code_fingerprint(after) == code_fingerprint(before)


def test_the_plugin_that_a_run_uses_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(OPTIMIZERS, "_entries", dict(OPTIMIZERS))
    monkeypatch.setattr("ergokedro.registry._plugins", [])
    file = tmp_path / "some_plugin.py"
    code = """
from ergokedro.training.optimizers import OPTIMIZERS
@OPTIMIZERS.add("mine")
def mine(model, params):
    return [None]
"""
    file.write_text(code)
    load_plugins("some_plugin")
    unused, used = identity(), identity(optimizer="mine")
    file.write_text(code + "# a comment\n")
    assert identity(optimizer="mine") == used
    file.write_text(code.replace("[None]", "[]"))
    assert identity(optimizer="mine") != used
    assert identity() == unused
    del sys.modules["some_plugin"]


def test_the_module_of_a_model_class_counts() -> None:
    by_class, by_entry = versions(ModuleArchitecture(Bigram)), versions(BigramArchitecture())
    assert by_class == by_entry
    assert by_class["code"] != versions()["code"]


def test_threads_may_ask_at_the_same_time() -> None:
    """As runs do that are trained side by side; each number makes other sources to parse."""
    sources = package_sources(PACKAGE)

    def fingerprint(number: int) -> str:
        return code_fingerprint({name: f"{text}\n# {number}" for name, text in sources.items()})

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(fingerprint, range(8))) == {code_fingerprint(sources)}
