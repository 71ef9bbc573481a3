"""Runs the code that a how-to page shows."""

from __future__ import annotations

import re
from typing import Any

from project import ROOT


def python_blocks(page: str) -> list[str]:
    """The Python code of a page in docs/howto."""
    text = (ROOT / "docs" / "howto" / page).read_text(encoding="utf-8")
    return re.findall(r"```python[^\n]*\n(.*?)```", text, re.DOTALL)


def run_page(page: str) -> dict[str, Any]:
    """Execute the page's Python code; give the names that it defines."""
    names: dict[str, Any] = {"__name__": "how_to"}
    for code in python_blocks(page):
        exec(compile(code, page, "exec"), names)
    return names
