"""An extension of griffe: sections of docstrings as mkdocstrings shows them best.

A parameter is written as `name : meaning`, and what a function returns as free text; NumPy's style,
which has types in these places, would show both as types. Google's style has the meanings there.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

_SECTION = re.compile(
    r"^(Parameters|Attributes|Raises|Returns|Yields|Notes)\n-{3,}\n", re.MULTILINE
)
_ROLE = re.compile(r":(?:class|func|meth|mod):(?=`)")  # of Sphinx
_GOOGLE = {"Parameters": "Args", "Attributes": "Attributes", "Raises": "Raises"}


class ProjectSections(Extension):
    """Rewrites every docstring when griffe has read its object."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = to_google(obj.docstring.value)


def to_google(text: str) -> str:
    """A docstring of this project in Google's style."""
    before, *parts = _SECTION.split(_ROLE.sub("", text))
    sections = zip(parts[::2], parts[1::2], strict=True)
    return "\n\n".join(
        [before.rstrip(), *(_section(name, body.rstrip()) for name, body in sections)]
    )


def _section(name: str, body: str) -> str:
    if name not in _GOOGLE:
        return f"**{name}**\n\n{body.rstrip()}"
    lines = [_item(line, name) for line in body.rstrip().splitlines()]
    return "\n".join([f"{_GOOGLE[name]}:", *(f"    {line}" if line else "" for line in lines)])


def _item(line: str, section: str) -> str:
    """'name: meaning' for 'name : meaning', and 'Error:' for the line that names an error."""
    if line.startswith(" ") or not line:
        return line
    return f"{line}:" if section == "Raises" else line.replace(" : ", ": ", 1)
