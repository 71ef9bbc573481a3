"""The card of a data set in the hub's layout: the YAML at the top of its README.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ergokedro.data.labels import feature_names
from ergokedro.errors import ErgokedroError

CARD = "README.md"
INFOS = "dataset_infos.json"
# Of a configuration; others change how files are parsed.
_KNOWN_KEYS = {"config_name", "data_files", "data_dir", "default", "description", "version"}


@dataclass(frozen=True)
class Card:
    """What a card says of one configuration.

    Attributes
    ----------
    patterns : globs of the files of every split, by the split's name; None if it does not say.
    folder : where the files are, relative to the card.
    class_names : names of the classes of each column of class numbers.
    """

    patterns: dict[str, list[str]] | None = None
    folder: str = ""
    class_names: dict[str, list[str]] = field(default_factory=dict)


def read_card(root: Path, config: str | None) -> Card:
    """The card in a folder, for the configuration asked for or the default one.

    Raises
    ------
    ErgokedroError
        If the card cannot be read, has no such configuration, or asks for something that is not
        supported.
    """
    content = _front_matter(root / CARD)
    with _explained(root):
        configs = _configs(content.get("configs"))
        chosen = _choose(configs or _configs(content.get("dataset_info")), config, root)
        if config and config not in configs and (root / config).is_dir():
            return replace(_card(content, chosen, root), folder=config)
        return _card(content, chosen, root)


def read_cards(root: Path) -> list[Card]:
    """The card in a folder for each of its configurations."""
    content = _front_matter(root / CARD)
    with _explained(root):
        configs = _configs(content.get("configs")) or _configs(content.get("dataset_info"))
        return [_card(content, name, root) for name in configs]


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """Turn errors in the block, about values of another type or form, into one about the card."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ErgokedroError(
            f"{root / CARD} is not a card as the hub knows it ({error!r}). Repair the YAML at its "
            "top, or remove it."
        ) from error


def _card(content: dict[str, Any], config: str | None, root: Path) -> Card:
    settings = _configs(content.get("configs")).get(config or "", {})
    if unknown := settings.keys() - _KNOWN_KEYS:
        raise ErgokedroError(
            f"{root / CARD}: the configuration {config!r} sets {', '.join(sorted(unknown))}, "
            "which is not supported. Convert the files to Parquet, JSON Lines or plain CSV."
        )
    infos = _configs(content.get("dataset_info"))
    info = infos.get(config or "") or infos.get("default", {})
    return Card(
        _patterns(settings.get("data_files"), root),
        settings.get("data_dir", ""),
        _class_names(info.get("features")) or _class_names_of_json(root, config),
    )


def _front_matter(readme: Path) -> dict[str, Any]:
    if not readme.is_file():
        return {}
    try:
        text = readme.read_text(encoding="utf-8-sig")
        if not text.startswith("---"):
            return {}
        # All scalars as text: a class named NO is no truth value.
        content = yaml.load(text.split("\n---", 1)[0], yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ErgokedroError(
            f"{readme} cannot be read ({str(error).splitlines()[0]}). Repair the YAML at its top, "
            "or remove the file."
        ) from error
    return content if isinstance(content, dict) else {}


def _configs(value: Any) -> dict[str, Any]:
    """Configurations by name, of one or of a list of them."""
    entries = value if isinstance(value, list) else [value]
    return {e.get("config_name", "default"): e for e in entries if isinstance(e, dict)}


def _choose(configs: dict[str, Any], config: str | None, root: Path) -> str | None:
    if config is None:
        defaults = [name for name, c in configs.items() if c.get("default") == "true"]
        if "default" in configs:
            defaults.append("default")
        if len(configs) > 1 and not defaults:
            raise ErgokedroError(
                f"corpus.source = {str(root)!r} has the configurations {', '.join(configs)}. "
                "Choose one with corpus.config."
            )
        return next(iter([*defaults, *configs]), None)
    if config in configs or (root / config).is_dir():
        return config
    known = ", ".join(configs) or "none: leave corpus.config out"
    raise ErgokedroError(
        f"corpus.config = {config!r}: corpus.source = {str(root)!r} has no such configuration; it "
        f"has {known}."
    )


def _patterns(value: Any, root: Path) -> dict[str, list[str]] | None:
    """Globs by split; '' where the card names files without a split."""
    if value is None:
        return None
    if isinstance(value, dict):
        value = [{"split": split, "path": path} for split, path in value.items()]
    patterns: dict[str, list[str]] = {}
    for entry in value if isinstance(value, list) else [value]:
        split, path = "", entry
        if isinstance(entry, dict):
            split, path = entry.get("split", ""), entry.get("path")
        if not path:
            raise ErgokedroError(f"{root / CARD}: data_files has an entry without a path.")
        patterns.setdefault(split, []).extend(path if isinstance(path, list) else [path])
    return patterns


def _class_names(features: Any) -> dict[str, list[str]]:
    """Names of classes by column, in the order of their numbers."""
    names_by_column = {}
    for feature in features if isinstance(features, list) else []:
        kind = feature.get("dtype") if isinstance(feature, dict) else None
        names = kind.get("class_label", {}).get("names") if isinstance(kind, dict) else None
        if isinstance(names, dict):
            names = [names[number] for number in sorted(names, key=int)]
        if isinstance(names, list):
            names_by_column[feature["name"]] = names
    return names_by_column


def _class_names_of_json(root: Path, config: str | None) -> dict[str, list[str]]:
    """As :func:`_class_names`, from the file that came before the YAML in cards."""
    file = root / INFOS
    if not file.is_file():
        return {}
    infos = json.loads(file.read_bytes())
    info = infos.get(config or "default") or (next(iter(infos.values())) if len(infos) == 1 else {})
    named = {column: feature_names(f) for column, f in info.get("features", {}).items()}
    return {column: names for column, names in named.items() if names}
