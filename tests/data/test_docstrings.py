"""The documentation of installed packages as a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from ergokedro.data.docstrings import PACKAGES, docstrings, find_packages
from ergokedro.errors import ErgokedroError
from marked_text import documents, read
from project import ROOT

LONG = "words " * 80


def write_package(folder: Path, text: str) -> None:
    """A package that must not be imported, with one docstring that is long enough in each file."""
    (folder / "inner").mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(f'"""{text}1"""\nraise ImportError\n')
    (folder / "inner" / "code.py").write_text(f'def f():\n    """short"""\n"""{text}no"""\n')
    (folder / "inner" / "more.py").write_text(
        f'class A:\n    def f(self):\n        """{text}2"""\n'
    )
    (folder / "inner" / "template.py").write_text("def {{ name }}():\n")
    (folder / "notes.txt").write_text(f'"""{text}3"""')


def test_long_docstrings_are_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_a", "own_b"):
        write_package(tmp_path / name, f"{name} {LONG}")
    options = {"packages": "own_a+own_b"}
    corpus = read(tmp_path, "docstrings", options=options)
    expected = {(f"{name} {LONG}{n}", name) for name in ("own_a", "own_b") for n in (1, 2)}
    assert {(text, label) for _, text, label in documents(corpus)} == expected
    write_package(tmp_path / "own_b", f"changed {LONG}")
    changed = read(tmp_path, "docstrings", options=options)
    assert changed.fingerprint != corpus.fingerprint


def test_what_is_a_docstring() -> None:
    code = (
        b'"module"\nclass A:\n    r"""class\n\n      \\d more\n    """\n    x = 1\n    "no"\n'
        b'async def f():\n    "function \\d"\n'
    )
    assert list(docstrings(code)) == ["module", "class\n\n\\d more", "function \\d"]


def test_the_default_packages_are_pinned_and_installed() -> None:
    pinned = (ROOT / "constraints.txt").read_text().lower()
    assert all(f"\n{name}==" in pinned for name in PACKAGES)
    assert list(find_packages({})) == list(PACKAGES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packages": ["torch", "no_such_package"]}, "no package 'no_such_package'"),
        ({"packages": "../torch"}, r"no package '\.\./torch'"),
        ({"packages": "ast"}, "no package 'ast'"),
        ({"package": "torch"}, r"corpus\.options\.package: unknown"),
    ],
)
def test_mistakes(options: dict[str, object], message: str) -> None:
    with pytest.raises(ErgokedroError, match=message):
        find_packages(options)
