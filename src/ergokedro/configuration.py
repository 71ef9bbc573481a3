"""Kedro's configuration loader with validated parameters, and the runs that they ask for.

Kedro builds the context, and with it this loader, before it asks for the pipelines, so the
pipeline registry can see which K are wanted. A hook could not tell it: Kedro-Viz runs without
the project's hooks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.framework import project
from kedro.utils import find_kedro_project

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import Parameters, validate_parameters

_current: ConfigLoader | None = None


class ConfigLoader(OmegaConfigLoader):
    """An OmegaConfigLoader whose parameters are complete and checked before any work starts."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        global _current
        _current = self
        # Kedro caches the pipelines of a process; another session may ask for other K.
        module = project.pipelines._pipelines_module
        requested = project.pipelines._requested_pipelines
        if module is not None:
            project.pipelines.configure(module)
            project.pipelines.set_requested(requested)

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if key == "parameters":
            return validate_parameters(value).model_dump(mode="json")
        return value


def current_parameters() -> Parameters:
    """The parameters of the session in hand, or of the default environment where there is none.

    Raises
    ------
    ErgokedroError
        If there is no session and the working directory is not inside a project.
    """
    loader = _current
    if loader is None:
        root = find_kedro_project(Path.cwd())
        if root is None:
            raise ErgokedroError(f"{Path.cwd()} is not inside a Kedro project.")
        loader = ConfigLoader(
            str(root / project.settings.CONF_SOURCE), **project.settings.CONFIG_LOADER_ARGS
        )
    return validate_parameters(loader["parameters"])
