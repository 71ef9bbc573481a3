"""Builds the documentation as a site: `python docs/generate`, or `make docs`.

The pages of docs/ are copied to build/pages, where those that are made from the code are added:
tables of settings and data sets, a page per figure, a page per package. Zensical makes
build/site of them. Any broken link ends the command with status 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import figure_pages
import module_pages
import site_check
import tables

ROOT = Path(__file__).parents[2]
PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"


def main() -> None:
    """See the module."""
    for folder in (PAGES, SITE):
        shutil.rmtree(folder, ignore_errors=True)
    write_pages(PAGES)
    # Without --clean, a changed docstring would not reach its page.
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    if (status := subprocess.run(command, cwd=ROOT).returncode) != 0:
        sys.exit(status)
    if problems := site_check.problems(SITE):
        sys.exit("\n".join(problems))


def write_pages(target: Path) -> None:
    """Write all pages of the site, in Markdown, with their pictures, to the folder `target`."""
    shutil.copytree(ROOT / "docs", target, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.rmtree(target / "generate", ignore_errors=True)
    for page in target.rglob("*.md"):
        page.write_text(tables.fill_in(page.read_text(encoding="utf-8")), encoding="utf-8")
    figure_pages.write(target / "figures", ROOT / "docs" / "results")
    module_pages.write(target / "reference" / "api")


if __name__ == "__main__":
    main()
