"""The configuration loader: plugins, and sweeps that need a confirmation."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from ergokedro.errors import ErgokedroError
from ergokedro.pipeline_registry import register_pipelines
from ergokedro.runtime.config_loader import (
    ConfigLoader,
    changed_settings,
    check_parameters,
    current_parameters,
)
from ergokedro.settings import CONFIG_LOADER_ARGS
from ergokedro.training.optimizers import OPTIMIZERS
from project import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:.*register_new_resolver")


def load(root: Path, **params: Any) -> dict[str, Any]:
    loader = ConfigLoader(str(root / "conf"), runtime_params=params, **CONFIG_LOADER_ARGS)
    parameters: dict[str, Any] = loader["parameters"]
    return parameters


def test_the_settings_of_mlflow_are_no_parameters_but_can_be_given_as_such() -> None:
    def tracking(**params: Any) -> Any:
        loader = ConfigLoader(str(ROOT / "conf"), runtime_params=params, **CONFIG_LOADER_ARGS)
        assert "tracking" not in loader["parameters"]
        return loader["tracking"]

    assert not tracking().log_models
    chosen = tracking(tracking={"log_models": True}, seed=3)
    assert (chosen.log_models, chosen.enabled, chosen.experiment) == (True, True, "ergokedro")
    message = r"tracking\.log_model: unknown key \(known here: .*log_models, .*tracking_uri\)"
    with pytest.raises(ErgokedroError, match=message):
        tracking(tracking={"log_model": True})
    with pytest.raises(ErgokedroError, match=r"tracking\.enabled = 'never'"):
        tracking(tracking={"enabled": "never"})
    with pytest.raises(ErgokedroError, match=r"tracking = False: not a value but a group"):
        tracking(tracking=False)


def test_the_sizes_of_a_grid_are_known_before_its_first_point_is_trained() -> None:
    assert load(ROOT, grid={"presets": ["tiny"]})["grid"]["presets"] == ["tiny"]
    with pytest.raises(ErgokedroError, match=r"grid\.presets = \['tinny'\] are unknown.*tiny"):
        load(ROOT, grid={"presets": ["tiny", "tinny"]})


def test_a_control_without_a_value_is_one_line() -> None:
    with pytest.raises(ErgokedroError, match=r"parameters:\n  controls\.draws = None: [^\n]*$"):
        load(ROOT, controls={"draws": None})


def test_changed_settings_are_those_with_other_values_than_by_default() -> None:
    parameters = check_parameters({"seed": 3, "training": {"epochs": 2}, "k": "all"})
    assert changed_settings(parameters) == {"seed": 3, "training.epochs": 2}
    parameters = check_parameters({"model": {"config": {"hidden_size": 8}}})
    assert changed_settings(parameters)["model.config.hidden_size"] == 8


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a plugin in src/ that registers an optimizer."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "plugin_in_src.py").write_text(
        "from ergokedro.training.optimizers import OPTIMIZERS\n"
        "OPTIMIZERS.register('copied', OPTIMIZERS['adamw'])\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_plugins_in_src_are_imported_before_names_are_checked(project: Path) -> None:
    with pytest.raises(ErgokedroError, match=r"training\.optimizer = 'copied' is unknown"):
        load(project, training={"optimizer": "copied"})
    try:
        parameters = load(project, training={"optimizer": "copied"}, plugins="plugin_in_src")
    finally:
        OPTIMIZERS._entries.pop("copied", None)
        sys.modules.pop("plugin_in_src", None)
    assert parameters["training"]["optimizer"] == "copied"


def experiment_of(root: Path, env: str | None) -> tuple[str, str]:
    """The experiment of an environment, and the folder that the catalog makes of it."""
    loader = ConfigLoader(str(root / "conf"), env=env, **CONFIG_LOADER_ARGS)
    return loader["globals"]["experiment"], loader["catalog"]["results"]["filepath"]


def test_no_environment_writes_over_another_ones_files(project: Path) -> None:
    mine, named = project / "conf" / "mine", project / "conf" / "named"
    mine.mkdir()
    named.mkdir()
    (mine / "parameters.yml").write_text("training: {epochs: 1}\n")
    (named / "globals.yml").write_text("experiment: other\n")
    for env, experiment in {
        None: "synthetic",
        "local": "synthetic",
        "base": "synthetic",
        "quick": "quick",
        "mine": "mine",
        "named": "other",
    }.items():
        folder = f"data/08_reporting/{experiment}/results.parquet"
        assert experiment_of(project, env) == (experiment, folder)
    (mine / "globals.yml").write_text("data_root: elsewhere\n")
    assert experiment_of(project, "mine") == ("mine", "elsewhere/08_reporting/mine/results.parquet")


def test_folders_that_a_settings_file_names_are_those_of_the_catalog(project: Path) -> None:
    """Else the corpus of `local` would replace the embedded one, whatever the settings say."""
    (project / "conf" / "local" / "parameters.yml").write_text(
        "corpus: {source: mine.csv}\nexperiment: mine\nshared_data: texts\nexperiments: a+b\n"
    )

    def files(**params: Any) -> list[str]:
        loader = ConfigLoader(str(project / "conf"), runtime_params=params, **CONFIG_LOADER_ARGS)
        catalog = loader["catalog"]
        names = ("corpus", "results", "comparison")
        return [catalog[name]["filepath"].removeprefix("data/") for name in names]

    comparison = "08_reporting/a+b/comparison.parquet"
    assert files() == ["01_raw/texts/corpus", "08_reporting/mine/results.parquet", comparison]
    given = files(experiment="other", seed=1)
    assert given == ["01_raw/texts/corpus", "08_reporting/other/results.parquet", comparison]


def test_folders_without_a_value_are_those_of_the_environment(project: Path) -> None:
    (project / "conf" / "local" / "parameters.yml").write_text("shared_data: texts\n")
    params = {"experiment": None, "shared_data": None}
    loader = ConfigLoader(str(project / "conf"), runtime_params=params, **CONFIG_LOADER_ARGS)
    catalog = loader["catalog"]
    assert catalog["corpus"]["filepath"] == "data/01_raw/synthetic/corpus"
    assert catalog["results"]["filepath"] == "data/08_reporting/synthetic/results.parquet"
    assert loader["parameters"]["shared_data"] is None


def test_the_settings_of_mlflow_are_not_in_the_file_of_parameters(project: Path) -> None:
    """They would be dropped there without a word."""
    (project / "conf" / "local" / "parameters.yml").write_text("tracking: {enabled: false}\n")
    with pytest.raises(ErgokedroError, match=r"tracking: .*conf/local/tracking\.yml"):
        load(project)


def test_the_name_of_an_environment_must_fit_a_folder(project: Path) -> None:
    (project / "conf" / "my env").mkdir()
    loader = ConfigLoader(str(project / "conf"), env="my env", **CONFIG_LOADER_ARGS)
    with pytest.raises(ErgokedroError, match="experiment = 'my env' names a folder in every layer"):
        loader["parameters"]


def test_plugins_may_be_a_list() -> None:
    assert check_parameters({"plugins": ["json", "string"]}).plugins == "json+string"


def test_a_configuration_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(ErgokedroError, match=r"There are no settings.*--conf-source"):
        load(tmp_path)


def test_a_plugin_that_is_not_there_is_one_message(project: Path) -> None:
    with pytest.raises(ErgokedroError, match="module 'no_plugin' cannot be imported"):
        load(project, plugins="no_plugin")


def test_very_many_runs_need_a_confirmation(project: Path) -> None:
    settings: dict[str, Any] = {
        "corpus": {"synthetic": {"components": 9}},
        "mixture": {"top_n": 9},
        "controls": {"subsets": True},
    }
    load(project, **settings)
    with pytest.raises(ErgokedroError, match=r"ask for 511 runs.*Set largest_sweep=511"):
        register_pipelines()
    load(project, **settings, largest_sweep=511)
    assert len({n.namespace for n in register_pipelines()["training"].nodes}) == 511


def test_more_runs_than_can_be_counted_are_refused_at_once(project: Path) -> None:
    settings = {"corpus": {"source": "own"}, "experiment": "own", "mixture": {"top_n": 60}}
    load(project, **settings, controls={"subsets": True}, k=1)
    assert current_parameters().n_components == 60
    with pytest.raises(ErgokedroError, match=r"asks for 1,152,921,504,606,846,975 runs"):
        register_pipelines()
