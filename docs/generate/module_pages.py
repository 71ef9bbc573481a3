"""A page per package with its modules' docstrings, which mkdocstrings reads from the source."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "ergokedro"


def write(folder: Path) -> None:
    """Write the pages, an overview, and the list for the navigation."""
    folder.mkdir(parents=True)
    names = ["- [All packages](index.md)"]
    overview = [
        "# Modules",
        "",
        "Classes and functions of every package, from their docstrings. [Use it without "
        "Kedro](../../api.md) has examples; [Architecture](../../architecture.md) says which "
        "package may import which.",
        "",
        "| package | what it holds |",
        "|---|---|",
    ]
    for name, modules in packages().items():
        text = "\n\n".join([f"# {name}", *(f"::: {module}" for module in modules)])
        (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
        overview.append(f"| [{name}]({name}.md) | {summary(modules[0])} |")
        names.append(f"- [{name}]({name}.md)")
    (folder / "index.md").write_text("\n".join(overview) + "\n", encoding="utf-8")
    (folder / "SUMMARY.md").write_text("\n".join(names) + "\n", encoding="utf-8")


def packages() -> dict[str, list[str]]:
    """The modules by package directly below the root, itself first, then in alphabetical order.

    Modules that are directly below the root are those of the package 'ergokedro'.
    """
    found: dict[str, list[str]] = {"ergokedro": ["ergokedro"]}
    for file in sorted(SOURCE.rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        if parts[-1] == "__main__" or parts == ("__init__",):
            continue
        module = ".".join(("ergokedro", *(part for part in parts if part != "__init__")))
        found.setdefault(f"ergokedro.{parts[0]}" if len(parts) > 1 else "ergokedro", []).append(
            module
        )
    return found


def summary(module: str) -> str:
    """The first line of a package's docstring."""
    file = ROOT / "src" / Path(*module.split(".")) / "__init__.py"
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0] if text else ""
