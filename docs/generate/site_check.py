"""What is wrong with the built site that Zensical does not check.

Zensical checks links between pages and their anchors. This checks every link of the pages that it
made, so files and pictures, too; that every page is in the navigation; and that a page loads
nothing from another host.
"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# `make docs` adds the graph after the pages.
ADDED_LATER = ("viz/index.html",)
# Made by Zensical for itself.
NOT_FOR_READERS = ("404.html",)


class _Page(HTMLParser):
    """The anchors of a page, its links, what it loads, and the links of its navigation."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(values["href"])
        elif tag in ("img", "script", "iframe", "source") and "src" in values:
            self.loaded.append(values["src"])


def problems(site: Path) -> list[str]:
    """One line for each problem of the site in the folder `site`; none if all is well."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    pages = {path: page for path, page in pages.items() if path.name not in NOT_FOR_READERS}
    found = [
        f"{path.relative_to(site)}: {problem}"
        for path, page in pages.items()
        for link in [*page.links, *page.loaded]
        if (problem := _problem(link, path, site, pages, loaded=link in page.loaded))
    ]
    home = site / "index.html"
    listed = {_target(link, home) for link in pages[home].links}
    return found + [
        f"{path.relative_to(site)}: not in the navigation" for path in pages if path not in listed
    ]


def _problem(
    link: str, page: Path, site: Path, pages: dict[Path, _Page], *, loaded: bool
) -> str | None:
    """What is wrong with a link of a page."""
    if link.startswith("data:"):
        return None
    if urlsplit(link).scheme or urlsplit(link).netloc:
        return f"loads {link} from another host" if loaded else None
    target, anchor = _target(link, page), unquote(urlsplit(link).fragment)
    if not target.is_relative_to(site):
        return f"{link} is outside the site"
    if target.relative_to(site).as_posix() in ADDED_LATER:
        return None
    if not target.is_file():
        return f"{link} does not exist"
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"{link}: the page has no such anchor"
    return None


def _target(link: str, page: Path) -> Path:
    """The file that a relative link of a page leads to."""
    path = unquote(urlsplit(link).path)
    target = (page.parent / path).resolve() if path else page
    return target / "index.html" if target.is_dir() else target
