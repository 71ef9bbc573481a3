"""The site of the documentation: what is made for it, and what its check finds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import docstrings
import figure_pages
import module_pages
import site_check
from ergokedro.reporting.figures import FIGURES, FigureSpec
from ergokedro.reporting.figures.exchange import plot_exchange
from project import ROOT

LINKS = """<a href="index.html">home</a> <a href="sub/page.html#part">page</a>
<a href="https://example.org">elsewhere</a> <img src="data:,"> <a href="viz/index.html">graph</a>"""


def make_site(folder: Path, **texts: str) -> Path:
    """A site of two pages, index.html and sub/page.html, whose texts may be replaced."""
    (folder / "sub").mkdir()
    (folder / "index.html").write_text(texts.get("index", LINKS))
    (folder / "sub" / "page.html").write_text(texts.get("page", '<h2 id="part">Part</h2>'))
    return folder


def test_a_site_whose_links_lead_somewhere_has_no_problem(tmp_path: Path) -> None:
    assert site_check.problems(make_site(tmp_path)) == []


def test_the_check_names_page_and_link(tmp_path: Path) -> None:
    page = """<a href="../gone.html">1</a> <a href="#no">2</a> <img src="picture.png">
    <script src="https://example.org/x.js"></script> <a href="../../outside.html">3</a>"""
    assert site_check.problems(make_site(tmp_path, index="<p>", page=page)) == [
        "sub/page.html: ../gone.html does not exist",
        "sub/page.html: #no: the page has no such anchor",
        "sub/page.html: ../../outside.html is outside the site",
        "sub/page.html: picture.png does not exist",
        "sub/page.html: loads https://example.org/x.js from another host",
        "index.html: not in the navigation",
        "sub/page.html: not in the navigation",
    ]


def test_sections_of_a_docstring_keep_their_meaning() -> None:
    text = """Summary of :func:`this`.

Parameters
----------
a, b : float32 (n,), nats: the values,
    and more.

Returns
-------
Rows of series 'chain': one per K.

Raises
------
ErgokedroError
    If there is none.
"""
    assert (
        docstrings.to_google(text)
        == """Summary of `this`.

Args:
    a, b: float32 (n,), nats: the values,
        and more.

**Returns**

Rows of series 'chain': one per K.

Raises:
    ErgokedroError:
        If there is none."""
    )


def test_every_figure_of_the_project_has_its_page() -> None:
    """What it shows comes from the function that draws it."""
    for name, figure in FIGURES.items():
        if figure.plot.__module__.startswith("ergokedro."):
            assert len(figure.how_to_read) > 100, name
            assert figure_pages.shows(figure).endswith("."), name
    page = figure_pages.page("controls", FIGURES["controls"], "Example: the kept results.")
    assert "with `controls.subsets`" in page.lower()
    assert "(controls.png)\n\nExample: the kept results." in page
    own = FigureSpec("Mine", lambda results: None)
    page = figure_pages.page("mine", own, None)
    assert "In every experiment" in page
    assert "mine.png)" not in page


def test_the_example_of_the_exchange_matrix_is_determined() -> None:
    results = pd.read_parquet(ROOT / f"docs/results/{figure_pages.EXAMPLE}/results.parquet")
    chart = plot_exchange(results)
    assert chart.title.startswith("Most useful: to cs.AI a token of cs.CL is worth 1.02")
    assert chart.matrix is not None
    assert chart.matrix.values.notna().all(axis=None)


def test_every_module_is_on_the_page_of_its_package() -> None:
    packages = module_pages.packages()
    assert packages["ergokedro.data"][0] == "ergokedro.data"
    assert "ergokedro.models.gpt_neox.config" in packages["ergokedro.models"]
    assert {"ergokedro.errors", "ergokedro.registry"} <= set(packages["ergokedro"])
    for modules in packages.values():
        assert module_pages.summary(modules[0]).endswith("."), modules[0]
