"""Colours, markers and names of all figures, which no other module defines."""

from __future__ import annotations

from typing import Any, NamedTuple

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
BLACK = "#000000"
# Greys, for what is neither a series nor a component.
INK, DARK, MIDDLE, LIGHT = "0.1", "0.3", "0.6", "0.73"

CATEGORY_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK)
COMPONENT_MARKERS = "osD^v<>pX*"
CONTROL_MARKERS = "os^Dv<>pX*"

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


SERIES = {
    "chain": Style("components trained on (literal chain)", BLUE, "o"),
    "smallest": Style("smallest component alone", VERMILION, "s"),
    "all": Style("all chosen components, seen or not", GREEN, "^"),
}
# Terms of the cost of K in the order in which they are stacked.
_TERMS = {
    "starvation": Style("starvation: less text of its own", ORANGE),
    "identification": Style("identification: which component is it?", SKY_BLUE),
    "interference": Style("interference less transfer: one model for all", PURPLE),
}


# Without known sources: a mixture of specialists also averages their errors.
_REDUNDANCY = Style("mixing redundancy: mixture of specialists less the right one", SKY_BLUE)


def term_styles(known_sources: bool) -> dict[str, Style]:
    """How the terms of the cost of K are shown, by quantity.

    Parameters
    ----------
    known_sources : the exact sources are known; elsewhere the second term is no identification.
    """
    return _TERMS if known_sources else {**_TERMS, "identification": _REDUNDANCY}


def colour_of(k: int, components: int) -> Any:
    """The colour of K: viridis from dark (K = 1) to light (all components), less its pale end."""
    import matplotlib

    return matplotlib.colormaps["viridis"](0.88 * (k - 1) / max(1, components - 1))


def category_style(index: int, markers: str = COMPONENT_MARKERS) -> dict[str, Any]:
    """Colour and marker of the component or control at `index` of its order, for matplotlib."""
    return {
        "color": CATEGORY_COLOURS[index % len(CATEGORY_COLOURS)],
        "marker": markers[index % len(markers)],
    }
