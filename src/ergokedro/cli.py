"""The commands `kedro run`, whose --params also takes lists and any text, and `kedro grid`.

Kedro finds this module by its name.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any, cast

import click
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

_QUOTED = r""""[^"]*"|'[^']*'"""
# key=value, where a list or a text in quotes may contain commas.
_ITEM = re.compile(rf"([^=,]+)=(\s*\[(?:{_QUOTED}|[^\]])*\]\s*|\s*(?:{_QUOTED})\s*|[^,]*)(?:,|$)")

_NULLS = {"", "~", "null"}


def split_params(ctx: click.Context, param: click.Parameter, value: Any) -> dict[str, Any]:
    """Parse the value of --params, such as `a=1,b.c=[x,y]`, into nested dictionaries.

    Values are numbers, true or false, null, lists in brackets, text in quotes; anything else is
    text as it stands, such as **/*.txt.

    Raises
    ------
    click.UsageError
        If a part is not of the form key=value, or refers to a setting that does not exist.
    """
    if isinstance(value, dict):  # of a file that --config names
        return value
    items, end = [], 0
    for match in _ITEM.finditer(value):
        if match.start() != end:
            break
        end = match.end()
        items.append(f"{match[1].strip()}={_as_yaml(match[2].strip())}")
    if value[end:].strip(" ,"):
        raise click.UsageError(
            f"--params: {value[end:]!r} is not of the form key=value. Several settings are "
            "separated by commas; a list stands in brackets: 'mixture.components=[a,b]'.",
            ctx,
        )
    try:
        return _read(items)
    except OmegaConfBaseException as error:
        raise click.UsageError(
            f"--params: {str(error).splitlines()[0]}. ${{name}} stands for the value of another "
            "setting; write \\${ for the characters themselves.",
            ctx,
        ) from None


def _as_yaml(text: str) -> str:
    """The value as YAML: in quotes if YAML would read it as text, or could not read it."""
    try:
        value = _read([f"value={text}"])["value"]
    except (yaml.YAMLError, OmegaConfBaseException):
        value = text
    delimited = text.startswith(("[", "{", '"', "'")) and value != text
    is_value = isinstance(value, bool | int | float) or text.lower() in _NULLS
    return text if delimited or is_value else json.dumps(text)


def _read(items: list[str]) -> dict[str, Any]:
    """Nested dictionaries from items such as `a.b=1`."""
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.from_dotlist(items)))


def _run_command() -> click.Command:
    """Kedro's command `run` with :func:`split_params` in place of Kedro's own parser."""
    command = copy.copy(kedro_run)
    command.params = [copy.copy(option) for option in kedro_run.params]
    for option in command.params:
        if option.name == "params":
            option.callback = split_params
            option.help = "Settings, as in k=3,mixture.components=[a,b]; text may be in quotes."
    return command


run = _run_command()


@click.group(name="ergokedro")
def cli() -> None:
    """Commands of the project, which replace Kedro's of the same name."""


@click.command()
@click.option("--env", "-e", default=None, help="Environment with the settings, as of kedro run.")
@click.option("--params", default="", callback=split_params, help="Settings, as of kedro run.")
def grid(env: str | None, params: dict[str, Any]) -> None:
    """Repeat the experiment for every grid.total_tokens and grid.presets, with one report."""
    from ergokedro.runtime.grid import run_grid

    run_grid(find_kedro_project(Path.cwd()) or Path.cwd(), env, params)


cli.add_command(run)
cli.add_command(grid)
