"""Kedro's configuration loader with validated parameters, and the runs that they ask for.

Kedro builds the context, and with it this loader, before it asks for the pipelines, so the
pipeline registry knows which K are wanted. A hook could not tell it: Kedro-Viz runs without
the project's hooks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from kedro.framework import project
from kedro.utils import find_kedro_project
from omegaconf.errors import OmegaConfBaseException

from ergokedro.analysis.controls import read_settings
from ergokedro.errors import ErgokedroError
from ergokedro.files import flatten
from ergokedro.models.presets import PRESETS, with_learning_rate
from ergokedro.parameters import (
    EXPERIMENT_NAME,
    Parameters,
    validate_parameters,
    validate_tracking,
)
from ergokedro.registry import load_plugins
from ergokedro.runtime.settings_files import (
    find_mistake,
    kind_of,
    settings_files,
    wrong_reference,
)
from ergokedro.training.names import check_names

_DEFAULT_EXPERIMENT = "synthetic"  # of the embedded corpus
# Parameters that name folders of the catalog, which reads them with `runtime_params`.
_FOLDERS = ("experiment", "shared_data", "experiments")

_current: ConfigLoader | None = None


class ConfigLoader(OmegaConfigLoader):
    """An OmegaConfigLoader whose parameters are complete and checked before any work starts."""

    runtime_params: dict[str, Any] | None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._check_environment()
        global _current
        _current = self
        # Kedro caches the pipelines of a process; another session may ask for other K.
        if project.PACKAGE_NAME is not None:
            project.pipelines.configure(f"{project.PACKAGE_NAME}.pipeline_registry")

    def __getitem__(self, key: str) -> Any:
        if key == "catalog":
            with self._named_folders():
                return self._read(key)
        value = self._read(key)
        if key == "globals":
            # So that no environment replaces the files of another one.
            return {"experiment": self._named_env or _DEFAULT_EXPERIMENT, **value}
        if key == "tracking":
            given = (self.runtime_params or {}).get(key, {})
            return validate_tracking({**value, **given} if isinstance(given, dict) else given)
        if key == "parameters":
            self._drop_tracking(value)
            self._import_from_source()
            parameters = check_parameters(value)
            self._check_experiment(parameters)
            return parameters.model_dump(mode="json")
        return value

    def _read(self, key: str) -> Any:
        """Settings of one kind as Kedro reads them; a mistake in a file is one clear error."""
        try:
            return super().__getitem__(key)
        except Exception as error:
            if mistake := find_mistake(self._folders(), self._kinds):
                raise ErgokedroError(mistake) from None
            if isinstance(error, OmegaConfBaseException):
                raise ErgokedroError(wrong_reference(error, self._folders())) from None
            raise

    @contextmanager
    def _named_folders(self) -> Iterator[None]:
        """In the block `runtime_params` name the folders that parameters of a file name, too.

        Without a value, as by --params experiment=null, a folder is left out: the catalog has a
        default for it.
        """
        given, parameters = self.runtime_params, self["parameters"]
        others = {name: value for name, value in (given or {}).items() if name not in _FOLDERS}
        named = {name: parameters[name] for name in _FOLDERS if parameters[name]}
        self._set_runtime_params({**others, **named})
        try:
            yield
        finally:
            self._set_runtime_params(given)

    def _set_runtime_params(self, params: dict[str, Any] | None) -> None:
        self.runtime_params = params
        self._runtime_params_oc = None  # Kedro's copy of them

    def _drop_tracking(self, parameters: dict[str, Any]) -> None:
        """Leave out what --params say of MLflow, which are no parameters of the experiment."""
        if parameters.pop("tracking", None) is None or "tracking" in (self.runtime_params or {}):
            return
        file = (self._own_folder() or Path(self.conf_source) / "local") / "tracking.yml"
        raise ErgokedroError(
            f"tracking: settings of MLflow are read from {file}, one per line without this name in "
            "front of them, or from --params. Move them there."
        )

    def _import_from_source(self) -> None:
        """Make modules in the project's src/ importable, as the `kedro` command does: plugins."""
        source = Path(self.conf_source).parent / "src"
        if source.is_dir() and str(source.resolve()) not in sys.path:
            sys.path.insert(0, str(source.resolve()))

    @property
    def _kinds(self) -> tuple[str, ...]:
        return (*self.config_patterns, "logging")

    def _folders(self) -> list[Path]:
        """The folders that settings come from; none where they are in a URL or an archive."""
        source = Path(self.conf_source)
        names = dict.fromkeys((self.base_env, self.env or self.default_run_env))
        return [source / name for name in names if (source / name).is_dir()]

    @property
    def _named_env(self) -> str | None:
        """The chosen environment, if it is not one of Kedro's two defaults."""
        env = self.env or self.default_run_env
        return None if env in (self.base_env, self.default_run_env) else env

    def _own_folder(self) -> Path | None:
        """The folder of that environment; None where the configuration is a URL or an archive."""
        source = Path(self.conf_source)
        env = self._named_env
        return source / env if env is not None and source.is_dir() else None

    def _check_environment(self) -> None:
        """Refuse an environment without a folder, and settings files that nothing would read."""
        source = str(self.conf_source)
        if ":/" not in source and not Path(source).exists():  # not a URL
            raise ErgokedroError(
                f"There are no settings: {source} does not exist. Give the command in the "
                "project's folder, or name the configuration with --conf-source."
            )
        folder = self._own_folder()
        if folder is None:
            return
        if not folder.is_dir():
            known = sorted(p.name for p in folder.parent.iterdir() if p.is_dir())
            raise ErgokedroError(
                f"--env {self.env}: there is no folder {folder}. Known: {', '.join(known)}."
            )
        for file in settings_files(folder):
            if kind_of(file, folder, self._kinds) is None:
                raise ErgokedroError(
                    f"{file} is read by nothing: the name of a settings file begins with one of "
                    f"{', '.join(self._kinds)}. Rename it."
                )

    def _check_experiment(self, parameters: Parameters) -> None:
        """Refuse to replace the embedded corpus's files by those of another corpus."""
        experiment = experiment_name(self, parameters.experiment)
        if not isinstance(experiment, str) or not re.fullmatch(EXPERIMENT_NAME, experiment):
            raise ErgokedroError(
                f"experiment = {experiment!r} names a folder in every layer of data/: use "
                "letters, digits, '_', '-' and '.' alone, and put a number in quotes, as in "
                'experiment: "2024" in globals.yml or --params \'experiment="2024"\'.'
            )
        data = parameters.shared_data or experiment
        name = "shared_data" if parameters.shared_data else "experiment"
        if data == _DEFAULT_EXPERIMENT and parameters.corpus.source != "synthetic":
            folder = self._own_folder() or Path(self.conf_source) / "local"
            raise ErgokedroError(
                f"corpus.source = {parameters.corpus.source!r}, but {name} = {data!r}, "
                "whose files are those of the embedded corpus and would be replaced. Write "
                f"`experiment: NAME` to {folder / 'globals.yml'}, or add experiment=NAME to "
                "--params."
            )


def experiment_name(config: Mapping[str, Any], setting: str | None) -> str:
    """Name of the experiment's folders: the setting `experiment`, or else that of globals.yml.

    Parameters
    ----------
    config : the configuration loader.
    """
    name: str = setting or config["globals"]["experiment"]
    return name


def current_parameters() -> Parameters:
    """The parameters of the present session, or of the default environment where there is none.

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


def project_folder() -> Path:
    """The folder of the present session's project; the working directory without a session."""
    return Path(_current.conf_source).parent if _current is not None else Path.cwd()


def changed_settings(parameters: Parameters) -> dict[str, Any]:
    """The settings with other values than by default, flat: {'training.epochs': 2}."""
    defaults = flatten(check_parameters({}).model_dump(mode="json"))
    settings = flatten(parameters.model_dump(mode="json"))
    return {n: v for n, v in settings.items() if n not in defaults or defaults[n] != v}


def check_parameters(raw: dict[str, Any]) -> Parameters:
    """Complete, validated parameters, with the settings of all registered controls.

    Raises
    ------
    ErgokedroError
        One message that names every offending key, its value and what is allowed.
    """
    if isinstance(raw.get("plugins"), list):  # a list in YAML means the same as names joined by '+'
        raw = {**raw, "plugins": "+".join(map(str, raw["plugins"]))}
    load_plugins(str(raw.get("plugins") or ""))
    parameters = validate_parameters(raw)
    check_names(parameters.model, parameters.training)
    if unknown := [name for name in parameters.grid.presets if name not in PRESETS]:
        raise ErgokedroError(
            f"grid.presets = {unknown} are unknown sizes. Known: {', '.join(PRESETS)}. A module "
            "that registers another one is named by the setting plugins."
        )
    update = {
        "controls": read_settings(parameters.controls),
        "training": with_learning_rate(parameters.training, parameters.model),
    }
    return parameters.model_copy(update=update)
