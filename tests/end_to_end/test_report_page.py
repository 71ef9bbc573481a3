"""The report as it is read: on a phone, in the dark, without JavaScript, printed, by keyboard."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_browser import CHROMIUM, FLAGS

from project import ROOT, Project

AXE = "axe-core@4.14.1"  # the accessibility checker, in the registry of npm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(finished: tuple[Project, str]) -> str:
    """Address of a report of the real command."""
    return f"file://{finished[0].file('08_reporting', 'report.html')}"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checker's script."""
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm on this machine")
    packed = subprocess.run([npm, "pack", AXE], cwd=folder, capture_output=True, text=True)
    if packed.returncode:
        pytest.skip(f"npm gave no {AXE}: {packed.stderr.strip()[-200:]}")
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extract("package/axe.min.js", folder, filter="data")
    return folder / "package" / "axe.min.js"


def open_page(browser: Any, address: str, **options: Any) -> Any:
    """The page with all sections open; it asks for nothing but its own file."""
    page = browser.new_page(**options)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(address)
    assert [url for url in requests if not url.startswith("data:")] == [address]
    return page


def open_sections(page: Any) -> None:
    page.wait_for_selector("figure.live")
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.wait_for_function(
        "[...document.querySelectorAll('figure:has(> script)')]"
        ".every((f) => f.querySelector('.main-svg'))"
    )


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier_for_any_reader(
    browser: Any, report: str, axe: Path, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 900}
    page = open_page(browser, report, viewport=size, color_scheme=scheme)
    open_sections(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.add_script_tag(path=str(axe))
    found = page.evaluate("axe.run()")["violations"]
    barriers = [(v["id"], [node["html"][:200] for node in v["nodes"][:3]]) for v in found]
    page.close()
    assert barriers == []


# Texts of interactive figures that are cut off, and pairs of labels that lie on each other.
BAD_TEXTS = """[...document.querySelectorAll('.plot')].flatMap((plot) => {
  const ground = plot.getBoundingClientRect();
  const boxes = (within) => [...plot.querySelectorAll(within + ' text')]
    .filter((text) => text.textContent.trim())
    .map((text) => [text.textContent, text.getBoundingClientRect()]);
  const labels = boxes('.annotation');
  const cut = boxes('').filter(([, box]) => box.left < ground.left - 2
    || box.right > ground.right + 2 || box.bottom > ground.bottom + 2);
  const covered = labels.filter(([, one], i) => labels.slice(i + 1).some(([, other]) =>
    one.left < other.right && other.left < one.right
    && one.top + 2 < other.bottom && other.top + 2 < one.bottom));
  return [...cut, ...covered].map(([text]) => text);
})"""


@pytest.mark.parametrize("width", [375, 1280])
def test_no_text_of_a_figure_is_cut_or_lies_on_another(
    browser: Any, report: str, width: int
) -> None:
    page = open_page(browser, report, viewport={"width": width, "height": 900})
    open_sections(page)
    bad = page.evaluate(BAD_TEXTS)
    page.close()
    assert bad == []


def test_pictures_are_there_without_javascript_and_in_print(browser: Any, report: str) -> None:
    pictures = "[...document.images].filter((i) => i.offsetParent && i.naturalWidth).length"
    plain = browser.new_page(java_script_enabled=False)
    plain.goto(report)
    assert plain.locator("figure img").first.is_visible()
    assert not plain.locator("figcaption").first.is_visible()  # the picture has its title
    plain.close()
    page = open_page(browser, report)
    open_sections(page)
    shown = page.evaluate(pictures)
    page.emulate_media(media="print")
    assert page.evaluate(pictures) == page.locator("figure img").count() > shown
    assert not page.locator(".plot").first.is_visible()
    page.close()


def test_tables_are_sorted_by_keyboard(browser: Any, report: str) -> None:
    page = open_page(browser, report)
    table = page.locator("table").first
    first = "td:first-child"
    heading = table.locator("th button").first
    heading.focus()
    for keys, order in ((["Enter"], 1), (["Enter"], -1), (["Space"], 1)):
        for key in keys:
            page.keyboard.press(key)
        numbers = [int(text) for text in table.locator(first).all_inner_texts()]
        assert numbers == sorted(numbers)[::order]
        state = "ascending" if order == 1 else "descending"
        assert table.locator("th").first.get_attribute("aria-sort") == state
    page.close()


def test_tables_are_sorted_by_numbers_and_by_names(browser: Any) -> None:
    """A name with a number in it, such as source-2, is a name."""
    columns = (
        ["source-10", "source-2", "cs.AI"],
        ["(2.5000 [1.0, 3.0])", "\u22120.1 [\u22120.2, 0.3]", "+1,200"],
        ["p = 0.03", "p < 0.0001", "not determined"],
    )
    rows = "".join(
        f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>"
        for row in zip(*columns, strict=True)
    )
    script = (ROOT / "src/ergokedro/templates/tables.js").read_text("utf-8")
    page = browser.new_page()
    page.set_content(
        f"<table><thead><tr>{3 * '<th>a</th>'}</tr></thead><tbody>{rows}</tbody></table>"
    )
    page.add_script_tag(content=script)
    for column, order in enumerate(([2, 1, 0], [1, 0, 2], [1, 0, 2])):
        page.locator("th button").nth(column).click()
        shown = page.locator(f"td:nth-child({column + 1})").all_inner_texts()
        assert shown == [columns[column][row] for row in order]
    page.close()
