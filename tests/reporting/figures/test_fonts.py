"""Labels that the default font lacks are drawn with a font that has them, or named in a warning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.pens.ttGlyphPen import TTGlyphPen  # type: ignore[import-untyped]
from matplotlib import font_manager

from ergokedro.reporting.figures import fonts
from ergokedro.reporting.figures.axes import make_figure


def write_font(path: Path, family: str, characters: str) -> None:
    """A font whose glyphs are squares."""
    pen = TTGlyphPen(None)
    for number, corner in enumerate([(0, 0), (0, 700), (700, 700), (700, 0)]):
        (pen.lineTo if number else pen.moveTo)(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"u{ord(character):04X}" for character in characters)]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(dict(zip(map(ord, characters), names[1:], strict=True)))
    font.setupGlyf(dict.fromkeys(names, square))
    font.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)


@pytest.fixture(autouse=True)
def _only_known_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The fonts that matplotlib brings, and nothing remembered."""
    own = [e for e in font_manager.fontManager.ttflist if "mpl-data" in e.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    monkeypatch.setattr(font_manager, "findSystemFonts", list)
    monkeypatch.setattr(fonts, "_told", set())
    fonts.find_fonts.cache_clear()
    yield
    fonts.find_fonts.cache_clear()


def draw(*labels: str) -> Any:
    figure, (axis,) = make_figure(1)
    axis.set_xticks(range(len(labels)), labels)
    fonts.fit_fonts(figure)
    return figure


def test_a_font_that_has_the_characters_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, characters in (("Half", "中"), ("Whole", "中文"), ("Last Resort", "中文字")):
        write_font(tmp_path / f"{name}.ttf", name, characters)
    files = [str(path) for path in tmp_path.iterdir()]
    # Installed after matplotlib has listed all fonts.
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [*files, "/missing.ttf"])
    figure = draw("中文", "plain")
    chinese, plain = figure.axes[0].get_xticklabels()
    assert chinese.get_fontfamily() == ["sans-serif", "Whole"]
    assert plain.get_fontfamily() == ["sans-serif"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()
    assert not caplog.messages


def test_one_warning_names_characters_and_remedy(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw("中文", "ไทย", "é ☃ \u200d\ue000").draw_without_rendering()
        draw("文中")
    (message,) = caplog.messages
    assert "中 文" in message
    assert "Noto Sans CJK (on Debian and Ubuntu: fonts-noto-cjk) and Noto Sans Thai" in message
    draw("語")
    assert "語" in caplog.messages[1]
    assert "中" not in caplog.messages[1]


def test_labels_of_the_default_font_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    figure = draw("ünïcode Ж λ", r"\$10")
    assert {tuple(t.get_fontfamily()) for t in figure.axes[0].get_xticklabels()} == {
        ("sans-serif",)
    }
    assert not fonts.find_fonts.cache_info().misses
