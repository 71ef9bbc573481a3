"""Mistakes in settings files: the file, the line, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ergokedro.files import flatten

_SUFFIXES = {".yml", ".yaml", ".json"}


def settings_files(folder: Path) -> list[Path]:
    """All settings files of one environment's folder, without the hidden ones."""
    files = (file for file in folder.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    return sorted(
        file
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def kind_of(file: Path, folder: Path, kinds: Iterable[str]) -> str | None:
    """The first of `kinds`, such as 'parameters', that the file or a folder of it is named after.

    None: the file is read by nothing.
    """
    parts = file.relative_to(folder).parts
    return next((kind for kind in kinds if any(part.startswith(kind) for part in parts)), None)


def find_mistake(folders: list[Path], kinds: Iterable[str]) -> str | None:
    """The first settings file in `folders` that cannot be read, and why; None if all can."""
    for folder in folders:
        for file in settings_files(folder):
            if mistake := _mistake_in(file):
                return mistake
        if mistake := _setting_in_two_files(folder, kinds):
            return mistake
    return None


def wrong_reference(error: OmegaConfBaseException, folders: list[Path]) -> str:
    """The message for a reference such as ${x} that stands for nothing."""
    key = error.full_key or "A setting"
    files = [f for folder in folders for f in settings_files(folder) if key in _settings_in(f)]
    reason = str(error.msg or error).splitlines()[0]
    return (
        f"{f'{files[-1]}: ' if files else ''}{key} refers to something that does not exist "
        f"({reason}). ${{name}} stands for the value of another setting of the same file; write "
        "\\${name} for the characters themselves."
    )


def _mistake_in(file: Path) -> str | None:
    content = file.read_bytes()
    try:
        settings = OmegaConf.create(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return (
            f"{file}, line {line}: the file is not in UTF-8. Save it as UTF-8, for example with "
            f"`iconv -f latin1 -t utf-8 {file.name} > utf8.yml`."
        )
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return (
            f"{file}, line {line}: {error.problem}. Indent YAML with spaces, never with tabs; "
            "write each key once; put text that contains ': ' or '#', or begins with '*', in "
            "quotes."
        )
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        return f"{file}: {str(error).splitlines()[0]}."
    if content.strip() and not isinstance(settings, DictConfig):
        return f"{file} holds a list at its top; settings are lines of the form `name: value`."
    return None


def _setting_in_two_files(folder: Path, kinds: Iterable[str]) -> str | None:
    """A setting that two files of one folder give, for the same kind of settings."""
    files = [(kind_of(file, folder, kinds), file) for file in settings_files(folder)]
    for (kind, first), (other_kind, second) in combinations(files, 2):
        both = sorted(_settings_in(first) & _settings_in(second))
        if both and kind == other_kind:
            return f"{both[0]} is set in {first} and in {second}: delete it in one of them."
    return None


def _settings_in(file: Path) -> set[str]:
    content: Any = OmegaConf.to_container(OmegaConf.create(file.read_text(encoding="utf-8")))
    return set(flatten(content)) if isinstance(content, dict) else set()
