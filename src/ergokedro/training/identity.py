"""The identity of a run: a record of all that decides its result.

Code counts by its content, not by a version number: a code change invalidates cached results.
"""

from __future__ import annotations

import ast
import inspect
import threading
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xxhash

from ergokedro.models.factory import MODELS
from ergokedro.parameters import MACHINE_SETTINGS, TrainingParameters
from ergokedro.training.lr_schedule import SCHEDULES
from ergokedro.training.optimizers import OPTIMIZERS

PACKAGE = Path(__file__).parents[1]
# The code that computes, relative to the package.
_COMPUTES = ("models/**/*.py", "training/**/*.py", "design/training_windows.py")
# Other versions of these libraries may compute other bits.
_LIBRARIES = ("numpy", "torch")
# Runs are trained in threads, and Python 3.11 fails when two of them parse at the same time.
_parsing = threading.Lock()
_HAVE_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def run_identity(
    manifest: str, seed: int, model: dict[str, Any], training: TrainingParameters, validation: str
) -> dict[str, Any]:
    """The identity of a run, JSON-able: runs with equal identities use the same checkpoints.

    Parameters
    ----------
    manifest : fingerprint of the manifest, and so of store and tokenizer.
    model : of :func:`ergokedro.models.factory.model_config`.
    validation : fingerprint of the windows that the curves are measured on.
    """
    entries = (
        MODELS[model["model_type"]],
        OPTIMIZERS[training.optimizer],
        SCHEDULES[training.schedule],
    )
    return {
        "manifest": manifest,
        "seed": seed,
        "model": model,
        "training": training.model_dump(mode="json", exclude=MACHINE_SETTINGS),
        "validation": validation,
        "versions": versions(*entries),
    }


def model_versions(model: dict[str, Any]) -> dict[str, str]:
    """:func:`versions` of the code and libraries with which a trained model is evaluated.

    Parameters
    ----------
    model : its :attr:`ergokedro.models.causal_lm.CausalLM.config`.
    """
    return versions(MODELS[model["model_type"]])


def versions(*entries: object) -> dict[str, str]:
    """Versions of the libraries that compute, and a fingerprint of the code that computes.

    Parameters
    ----------
    entries : of registries; the modules that define them count if they are not the package's own.
    """
    sources = package_sources(PACKAGE) | _plugin_sources(entries)
    return {"code": code_fingerprint(sources), **{name: version(name) for name in _LIBRARIES}}


def package_sources(package: Path) -> dict[str, str]:
    """File name -> source of the modules of `package`, a folder, that computes results."""
    files = sorted(file for pattern in _COMPUTES for file in package.glob(pattern))
    return {file.relative_to(package).as_posix(): file.read_text("utf-8") for file in files}


def _plugin_sources(entries: tuple[object, ...]) -> dict[str, str]:
    """Module name -> source of the modules outside of the package that define `entries`."""
    modules = {module.__name__: module for entry in entries if (module := inspect.getmodule(entry))}
    return {
        name: Path(file).read_text("utf-8")
        for name, module in sorted(modules.items())
        if not name.startswith("ergokedro.") and (file := getattr(module, "__file__", None))
    }


def code_fingerprint(sources: dict[str, str]) -> str:
    """Hash of the syntax trees of sources, without docstrings, comments and layout.

    Parameters
    ----------
    sources : name -> Python source.
    """
    digest = xxhash.xxh3_64()
    with _parsing:
        for name, source in sources.items():
            digest.update(f"{name}\n{_syntax(source)}\n".encode())
    return digest.hexdigest()


@cache
def _syntax(source: str) -> str:
    """The syntax tree of Python source, without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _HAVE_DOCSTRINGS) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)
