"""The figures of a report as they are put into a page."""

from __future__ import annotations

import base64
import gzip
import io
from dataclasses import dataclass
from functools import cache

_COLOURS = 128


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes
    ----------
    name : names its files; Markdown refers to `file`.
    topic : what it is about, for a heading.
    title : what it finds.
    note : what is shown, its unit, and what the bars are.
    alt : what it shows, for those who do not see it.
    png : content of the PNG file, which HTML holds itself.
    chart : the interactive form, as Plotly's JSON; '' where there is none.
    """

    name: str
    topic: str
    title: str
    note: str
    alt: str
    png: bytes
    chart: str = ""

    @property
    def file(self) -> str:
        """Name of the PNG file beside the report."""
        return f"{self.name}.png"

    @classmethod
    def read(cls, name: str, topic: str, png: bytes, chart: str = "") -> Picture:
        """A picture with the texts that its file holds; `topic` where it holds none."""
        from PIL import Image

        with Image.open(io.BytesIO(png)) as image:
            texts = {key: str(value) for key, value in image.info.items() if isinstance(key, str)}
        title = texts.get("Title", topic)
        alt = texts.get("Description", title)
        return cls(name, topic, title, texts.get("Comment", ""), alt, png, chart)


def shrink(png: bytes) -> bytes:
    """A PNG file with a palette of 128 colours, about a third of the size."""
    from PIL import Image

    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        plain = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        plain.save(small, format="PNG", optimize=True)
    return small.getvalue()


@cache
def plotly_library() -> str:
    """Plotly for the browser, packed: gzip in base64, a third of its size."""
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode(), mtime=0)
    return base64.b64encode(packed).decode()
