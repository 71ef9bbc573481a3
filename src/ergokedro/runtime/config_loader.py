"""Kedro's configuration loader with validated parameters, and the runs that they ask for.

Kedro builds the context, and with it this loader, before it asks for the pipelines, so the
pipeline registry can see which K are wanted. A hook could not tell it: Kedro-Viz runs without
the project's hooks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework import project
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from ergokedro.analysis.controls import read_settings
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import EXPERIMENT_NAME, Parameters, validate_parameters
from ergokedro.registry import load_plugins
from ergokedro.training.names import check_names

_current: ConfigLoader | None = None


class ConfigLoader(OmegaConfigLoader):
    """An OmegaConfigLoader whose parameters are complete and checked before any work starts."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._check_environment()
        global _current
        _current = self
        # Kedro caches the pipelines of a process; another session may ask for other K.
        module = project.pipelines._pipelines_module
        requested = project.pipelines._requested_pipelines
        if module is not None:
            project.pipelines.configure(module)
            project.pipelines.set_requested(requested)

    def __getitem__(self, key: str) -> Any:
        try:
            value = super().__getitem__(key)
        except yaml.YAMLError as error:
            raise ErgokedroError(self._wrong_yaml() or str(error)) from None
        if key == "parameters":
            parameters = check_parameters(value)
            self._check_experiment(parameters)
            return parameters.model_dump(mode="json")
        return value

    def _folder(self) -> Path | None:
        """The folder of the environment in hand, if it is none of Kedro's two own.

        None, too, where the configuration is no folder but a URL or a package's archive.
        """
        env = self.env or self.default_run_env
        source = Path(self.conf_source)
        if env in (self.base_env, self.default_run_env) or not source.is_dir():
            return None
        return source / env

    def _check_environment(self) -> None:
        """A folder or file with a mistyped name would leave the default in its place, unsaid."""
        folder = self._folder()
        if folder is None:
            return
        if not folder.is_dir():
            there = sorted(p.name for p in folder.parent.iterdir() if p.is_dir())
            raise ErgokedroError(
                f"--env {self.env}: there is no folder {folder}. There are: {', '.join(there)}."
            )
        names = (*self.config_patterns, "logging")
        for file in _settings_files(folder):
            parts = file.relative_to(folder).parts
            if not any(part.startswith(names) for part in parts):
                raise ErgokedroError(
                    f"{file} is read by nothing: names of settings files begin with one of "
                    f"{', '.join(names)}. Rename it."
                )

    def _check_experiment(self, parameters: Parameters) -> None:
        """Files of another corpus must not take the place of the embedded one's."""
        experiment = parameters.experiment or self["globals"].get("experiment")
        if not re.fullmatch(EXPERIMENT_NAME, str(experiment)):
            raise ErgokedroError(
                f"experiment = {experiment!r} names a folder in every layer of data/: give "
                "letters, digits, '_', '-' and '.' alone, in globals.yml or with --params "
                "experiment=NAME."
            )
        if experiment == "synthetic" != parameters.corpus.source:
            place = self._folder() or Path(self.conf_source) / "local"
            raise ErgokedroError(
                f"corpus.source = {parameters.corpus.source!r}, but experiment = 'synthetic', "
                "whose files are those of the embedded corpus and would be replaced. Write "
                f"`experiment: NAME` to {place / 'globals.yml'}, or add experiment=NAME to "
                "--params."
            )

    def _wrong_yaml(self) -> str | None:
        """Which file cannot be read, where and why; Kedro counts from 0, or names no file."""
        for env in (self.base_env, self.env or self.default_run_env):
            for file in _settings_files(Path(self.conf_source) / env):
                try:
                    OmegaConf.load(file)
                except yaml.MarkedYAMLError as error:
                    line = error.problem_mark.line + 1 if error.problem_mark else 1
                    return (
                        f"{file}, line {line}: {error.problem}. YAML indents by spaces, never by "
                        "tabs; a key stands once; text with ': ' or '#' in it stands in quotes."
                    )
        return None


def _settings_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix in {".yml", ".yaml"})


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
    return check_parameters(loader["parameters"])


def check_parameters(raw: dict[str, Any]) -> Parameters:
    """Complete, validated parameters, with the settings of all registered controls.

    Raises
    ------
    ErgokedroError
        One message that names every offending key, its value and what is allowed.
    """
    load_plugins(str(raw.get("plugins") or ""))
    parameters = validate_parameters(raw)
    check_names(parameters.model, parameters.training)
    return parameters.model_copy(update={"controls": read_settings(parameters.controls)})
