"""How text from a corpus, such as the label of a category, is shown: literally.

A label is never mathematics, markup or a control code, whatever its characters are.
"""

from __future__ import annotations

import html
import re
import unicodedata

# Control codes, lone surrogates (no file can hold them) and line ends.
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
# These change the direction of the text that follows them.
_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_MARKDOWN = str.maketrans(
    {character: "\\" + character for character in "\\`*_[]{}|"}
    | {"&": "&amp;", "<": "&lt;", "$": "&#36;", "~": "&#126;"}
)
_LONGEST = 40


def visible(text: str) -> str:
    """`text` on one line, with control codes as escapes such as `\\n`."""
    if text.isascii() and text.isprintable():  # such as the bytes of a figure
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    hidden = (
        unicodedata.category(character) in _CONTROLS
        or unicodedata.bidirectional(character) in _DIRECTIONS
    )
    return character.encode("unicode_escape").decode("ascii") if hidden else character


def shorten(text: str, longest: int = _LONGEST) -> str:
    """`text` on one line, cut to `longest` characters so that it fits beside an axis."""
    text = visible(text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def plain_text(text: str) -> str:
    """`text` for matplotlib, which would read `$…$` as mathematics.

    Matplotlib leaves labels that begin with an underscore out of legends, so a space of no width
    comes first.
    """
    text = visible(text).replace("$", r"\$")
    return "\u200b" + text if text.startswith("_") else text


def plotly_text(text: str) -> str:
    """`text` for Plotly, which would read tags such as `<b>` and `$…$` as mathematics."""
    return html.escape(visible(text), quote=False).replace("$", "&#36;")


def escape_markdown(text: str) -> str:
    """`text` for a sentence, a heading or a table cell in Markdown.

    Backslashes and entities are those that CommonMark and Python-Markdown both know.
    """
    return visible(text).translate(_MARKDOWN)


def one_line(text: str) -> str:
    """`text` with its spaces and line ends as single spaces; other white space stays."""
    return re.sub(r"[ \n]+", " ", text).strip(" ")
