"""Fonts for labels whose characters the default font lacks, such as Chinese ones."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
# These hold placeholders, or symbols at the places of other characters.
_UNSUITED = ("Last Resort", "LastResort", "Adobe Blank", "cm", "STIXNon", "STIXSiz", ".")
# By the first word of a character's name; other scripts have a Noto Sans of their own name.
_NOTO = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"), "Noto Sans CJK")
_SCRIPTS = (
    "ARABIC", "ARMENIAN", "BENGALI", "CHEROKEE", "DEVANAGARI", "ETHIOPIC", "GEORGIAN", "GUJARATI",
    "GURMUKHI", "HEBREW", "KANNADA", "KHMER", "LAO", "MALAYALAM", "MONGOLIAN", "MYANMAR", "ORIYA",
    "SINHALA", "SYRIAC", "TAMIL", "TELUGU", "THAANA", "THAI", "TIBETAN",
)  # fmt: skip
_told: set[str] = set()


def fit_fonts(figure: Figure) -> None:
    """Give the texts of a figure fonts that have their characters, where the default one has not.

    Characters that no installed font has are drawn as boxes; one warning names them and what to
    install.
    """
    from matplotlib.text import Text

    texts: list[Any] = figure.findobj(Text)
    lacking = frozenset("".join(text.get_text() for text in texts)) - default_characters()
    lacking = frozenset(filter(_is_drawn, lacking))
    if not lacking:
        return
    families, boxes = find_fonts(lacking)
    for text in texts:
        if lacking.intersection(text.get_text()):
            text.set_fontfamily([*text.get_fontfamily(), *families])
    if boxes:
        _warn(boxes)


def _is_drawn(character: str) -> bool:
    """Is it neither white space, nor a code for the layout, nor without a meaning?"""
    return unicodedata.category(character) not in {"Cc", "Cf", "Cn", "Co", "Zs"}


@lru_cache
def default_characters() -> frozenset[str]:
    """All characters of matplotlib's default font."""
    from matplotlib.font_manager import FontProperties, findfont

    return frozenset(_characters(findfont(FontProperties())))


def _characters(file: str) -> set[str]:
    """The characters that a font has outlines for."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(file)
    except (OSError, RuntimeError):  # no font, or one of pictures such as Noto Color Emoji
        return set()
    return set(map(chr, font.get_charmap())) if font.scalable else set()


@lru_cache
def find_fonts(characters: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """The fewest installed font families that have `characters`, and what none of them has."""
    offers = {family: characters & _characters(file) for family, file in _installed()}
    families: list[str] = []
    lacking = characters
    while offers:
        best = max(offers, key=lambda family: (len(offers[family] & lacking), "Sans" in family))
        if not offers[best] & lacking:
            break
        families.append(best)
        lacking -= offers.pop(best)
    return families, lacking


def _installed() -> Iterator[tuple[str, str]]:
    """Name and file of every installed family, upright and of normal weight where it has that."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {entry.fname for entry in fontManager.ttflist}
    for file in set(findSystemFonts()) - known:  # installed after matplotlib listed them
        try:
            fontManager.addfont(file)
        except Exception as error:  # whatever FreeType finds wrong with a file
            log.debug("The font %s cannot be read: %s", file, error)
    entries = sorted(
        fontManager.ttflist,
        key=lambda entry: (entry.name, entry.style != "normal", str(entry.weight) not in _NORMAL),
    )
    families = {entry.name: entry.fname for entry in reversed(entries)}
    return ((n, f) for n, f in sorted(families.items()) if not n.startswith(_UNSUITED))


_NORMAL = {"400", "normal", "regular", "book"}


def _warn(boxes: frozenset[str]) -> None:
    """Log once what is missing, in place of matplotlib's warning for every character."""
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
    new = sorted(boxes - _told)
    if not new:
        return
    _told.update(new)
    fonts = sorted({_remedy(character) for character in new})
    log.warning(
        "No installed font has %s%s: figures show boxes in their place. Install %s and run "
        "`kedro run --pipelines analysis` again.",
        " ".join(new[:10]),
        f" and {len(new) - 10} other characters" if len(new) > 10 else "",
        " and ".join(fonts),
    )


def _remedy(character: str) -> str:
    """The font to install."""
    script = unicodedata.name(character, "").split(" ")[0]
    if script in _NOTO:
        return f"{_NOTO[script]} (on Debian and Ubuntu: fonts-noto-cjk)"
    return f"Noto Sans {script.title()}" if script in _SCRIPTS else "a font that has them"
