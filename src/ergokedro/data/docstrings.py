"""The documentation of installed Python packages: a docstring is a document, its package the label.

A corpus of text that is not papers, which every machine has on which the project is installed. The
packages are parsed and not imported.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ergokedro.data.file_listing import hash_files
from ergokedro.errors import ErgokedroError

# The project needs all of them. Their subjects are graphs, tables, databases, algebra, networks.
PACKAGES = ("networkx", "pandas", "sqlalchemy", "sympy", "torch")
# Shorter ones have fewer tokens than a window.
LEAST_CHARACTERS = 400


def find_packages(options: Mapping[str, Any]) -> dict[str, Path]:
    """The folder of each package that `corpus.options` names.

    Parameters
    ----------
    options : `packages`, a list or names joined by '+'; by default :data:`PACKAGES`.

    Raises
    ------
    ErgokedroError
        If a package is not installed, or there is another option.
    """
    if unknown := options.keys() - {"packages"}:
        raise ErgokedroError(
            f"corpus.options.{min(unknown)}: unknown. The source 'docstrings' has the option "
            "packages alone."
        )
    names = options.get("packages", PACKAGES)
    names = names.split("+") if isinstance(names, str) else names
    return {str(name): _find_folder(str(name)) for name in names}


def _find_folder(package: str) -> Path:
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ErgokedroError(
            f"corpus.options.packages: there is no package {package!r} in this environment. "
            "Install it, or give the name with which it is imported."
        )
    return Path(spec.submodule_search_locations[0])


def identify_packages(folders: Mapping[str, Path]) -> dict[str, Any]:
    """What changes with the documents: the content of all Python files, by package."""
    return {name: hash_files(folder.rglob("*.py"), folder) for name, folder in folders.items()}


def read_packages(folders: Mapping[str, Path]) -> Iterator[tuple[str, str, str]]:
    """Split 'train', text and package of every docstring of :data:`LEAST_CHARACTERS` or more."""
    for name, folder in folders.items():
        for file in sorted(folder.rglob("*.py")):
            for text in docstrings(file.read_bytes()):
                if len(text) >= LEAST_CHARACTERS:
                    yield "train", text, name


def docstrings(code: bytes) -> Iterator[str]:
    """The docstrings of a module and of its classes and functions, without indentation.

    Nothing where the code is not Python of this version: packages ship templates of files, too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like are the package's concern
        try:
            tree = ast.parse(code)
        except (SyntaxError, ValueError):
            return
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield text
