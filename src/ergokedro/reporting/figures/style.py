"""Colours, markers and names of all figures, which no other module defines."""

from __future__ import annotations

from typing import NamedTuple

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
BLACK = "#000000"
# Greys, for what is neither a series nor a component; SOFT is read as text, GRID hardly seen.
INK, DARK, SOFT, MIDDLE, LIGHT, GRID = (
    "#1f2328", "#4d4d4d", "#57606a", "#999999", "#bababa", "#e3e6ea",
)  # fmt: skip

CATEGORY_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK)
CONTROL_COLOURS = ("#1f2328", "#8c510a", "#35978f", "#762a83", "#57606a", "#bf812d")
MARKERS = "osD^v<>pX*"
# Relative luminance with a contrast of 4.5 to white, and to the dark ground of a report.
_DARK_ENOUGH, _LIGHT_ENOUGH = 0.18, 0.23

XE_LABEL = "cross entropy, nats per token"
DIFFERENCE_LABEL = "difference of cross entropy, nats per token"
K_LABEL = "K, number of components in training"
POSITION_LABEL = "position t in the window, tokens (log scale)"
DOCUMENT_LABEL = "position in the document, tokens (log scale)"


class Style(NamedTuple):
    """How a series of the results is shown."""

    label: str
    colour: str
    marker: str = ""


# Greys: colours are those of components, and of K.
SERIES = {
    "chain": Style("components trained on (literal chain)", INK, "o"),
    "smallest": Style("smallest component alone", SOFT, "s"),
    "all": Style("all chosen components, seen or not", MIDDLE, "^"),
}
# Terms of the cost of K in the order in which they are stacked, in colours of their own.
_TERMS = {
    "starvation": Style("less text of its own (starvation)", "#a6611a"),
    "identification": Style("not knowing the component (identification)", "#5ab4ac"),
    "interference": Style("one model for all (interference less transfer)", "#7b6bb0"),
}
# Without known sources: a mixture of specialists also averages their errors.
_REDUNDANCY = Style("mixture of specialists (mixing redundancy)", "#5ab4ac")


def term_styles(known_sources: bool) -> dict[str, Style]:
    """How the terms of the cost of K are shown, by quantity.

    Parameters
    ----------
    known_sources : the exact sources are known; elsewhere the second term is no identification.
    """
    return _TERMS if known_sources else {**_TERMS, "identification": _REDUNDANCY}


def colour_of(k: int, components: int) -> str:
    """The colour of K: viridis from dark (K = 1) to light (all components), less its pale end."""
    import matplotlib
    from matplotlib.colors import to_hex

    return to_hex(matplotlib.colormaps["viridis"](0.8 * (k - 1) / max(1, components - 1)))


def category_colour(index: int) -> str:
    """The colour of the component or control at `index` of its order."""
    return CATEGORY_COLOURS[index % len(CATEGORY_COLOURS)]


def control_colour(index: int) -> str:
    """The colour of the control at `index`: not those of components."""
    return CONTROL_COLOURS[index % len(CONTROL_COLOURS)]


def category_marker(index: int) -> str:
    """Its marker, so that more categories than colours can be told apart."""
    return MARKERS[index % len(MARKERS)]


def as_text(colour: str) -> str:
    """A colour as dark as text on white must be, #rrggbb: a contrast of 4.5 (WCAG 2, AA)."""
    parts = _parts(colour)
    while _luminance(parts) > _DARK_ENOUGH:
        parts = [0.95 * part for part in parts]
    return _code(parts)


def on_dark(colour: str) -> str:
    """A colour as light as text on a dark ground must be, #rrggbb: a contrast of 4.5."""
    parts = _parts(colour)
    while _luminance(parts) < _LIGHT_ENOUGH:
        parts = [part + 0.05 * (1 - part) for part in parts]
    return _code(parts)


def _luminance(parts: list[float]) -> float:
    """Relative luminance as of the WCAG, of red, green and blue in [0, 1]."""
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _parts(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _code(parts: list[float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)
