"""The tables of parameters and of catalog entries, from code and catalog."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from ergokedro.analysis.controls import Setting, all_settings
from ergokedro.parameters import Parameters, TrackingParameters

ROOT = Path(__file__).parents[2]


def fill_in(markdown: str) -> str:
    """Replace the text between two markers by the table of that name."""
    for marker, make in (("parameters", parameter_tables), ("catalog", catalog_table)):
        start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
        if start in markdown:
            before, rest = markdown.split(start)
            markdown = before + make() + rest.split(end)[1]
    return markdown


def parameter_tables() -> str:
    """One table per group of settings."""
    top = {n: f for n, f in Parameters.model_fields.items() if not _model(f) and n != "controls"}
    parts = [_table("", top, "At the top")]
    groups = [(n, _model(f)) for n, f in Parameters.model_fields.items()]
    while groups:
        prefix, model = groups.pop(0)
        if model is None:
            continue
        fields = {n: f for n, f in model.model_fields.items() if not _model(f)}
        parts.append(_table(f"{prefix}.", fields, f"`{prefix}`", (model.__doc__ or "").strip()))
        inner = [(f"{prefix}.{n}", _model(f)) for n, f in model.model_fields.items()]
        groups = [pair for pair in inner if pair[1]] + groups
    fields = {s.name: _field(s) for s in all_settings()}
    meaning = Parameters.model_fields["controls"].description or ""
    tracking = TrackingParameters
    parts += [
        _table("controls.", fields, "`controls`", meaning),
        _table("tracking.", tracking.model_fields, "`tracking`", (tracking.__doc__ or "").strip()),
    ]
    return "\n\n".join(parts)


def _field(setting: Setting) -> FieldInfo:
    """A control's setting as a field of a model."""
    info = Field(setting.default, description=setting.description, **setting.bounds)
    return FieldInfo.merge_field_infos(info, annotation=setting.type)


def catalog_table() -> str:
    """One row per catalog entry: name, kind, layer and file."""
    text = (ROOT / "conf" / "base" / "catalog.yml").read_text()
    entries = yaml.safe_load(text)
    lines = ["| name | kind | layer | file in `data/` |", "|---|---|---|---|"]
    for name, entry in entries.items():
        if name.startswith("_"):
            continue
        layer = entry["metadata"]["kedro-viz"]["layer"]
        file = re.sub(r"\$\{(_\w+)\}", lambda m: _folder(entries, m[1]), _file(entry))
        file = file.replace("${_root}/", "")
        lines.append(f"| `{name}` | {entry['type'].split('.')[-1]} | {layer} | `{file}` |")
    return "\n".join(lines)


def _file(entry: dict[str, Any]) -> str:
    """Path of an entry's file, or the pattern of its files."""
    if "filepath" in entry:
        return str(entry["filepath"])
    folder = entry["path"].removeprefix("${_root}/")
    return f"{folder}/*{entry['filename_suffix']}"


def _folder(entries: dict[str, Any], variable: str) -> str:
    """Folder in `data/` that a variable of the catalog, such as `_reporting`, stands for."""
    folder: str = entries[variable]
    folder = folder.replace("${_data}", "${_experiment}")
    folder = folder.replace("${_root}/", "").replace("${_experiment}", "<experiment>")
    return folder.replace("${runtime_params:experiments,comparison}", "<experiments>")


def _model(field: FieldInfo) -> type[BaseModel] | None:
    """The group of settings that a field is, or None for a single setting."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _table(prefix: str, fields: dict[str, FieldInfo], title: str, text: str = "") -> str:
    """Heading, text and one row per setting."""
    lines = [f"## {title}", "", text, ""] if text else [f"## {title}", ""]
    lines += ["| setting | type and bounds | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        bounds = ", ".join(str(m) for m in field.metadata)
        kind = _kind(field.annotation) + (f"; {_bounds(bounds)}" if bounds else "")
        default = "" if field.default is None else f"`{field.default}`"
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{prefix}{name}` | {kind} | {default} | {meaning} |")
    return "\n".join(lines)


def _kind(kind: Any) -> str:
    """A type in words, such as 'list of text'."""
    arguments = get_args(kind)
    if not arguments:
        names = {"NoneType": "nothing", "str": "text", "int": "integer", "float": "number"}
        name = getattr(kind, "__name__", str(kind))
        return names.get(name, "true or false" if name == "bool" else name)
    if "Literal" in str(get_origin(kind)):
        return ", ".join(f"`{value}`" for value in arguments)
    if get_origin(kind) is list:
        return f"list of {_kind(arguments[0])}"
    if "Annotated" in str(type(kind)):
        return _kind(arguments[0])
    return " or ".join(_kind(argument) for argument in arguments if argument is not type(None))


def _bounds(text: str) -> str:
    """Bounds in words: '≥ 1' for 'Ge(ge=1)'."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = re.findall(r"\b(ge|gt|le|lt)=([\d.]+)", text)
    numbers = ", ".join(f"{signs[sign]} {value}" for sign, value in bounds)
    return numbers or ("letters, digits, `_`, `.`, `-`" if "pattern" in text else "not empty")
