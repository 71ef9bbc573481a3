"""Kedro settings: https://docs.kedro.org/en/stable/configure/project_settings/."""

import warnings

from ergokedro.configuration import ConfigLoader
from ergokedro.hooks import ProjectHooks
from ergokedro.sweep import SweepSession

HOOKS = (ProjectHooks(),)
SESSION_CLASS = SweepSession
# The project tracks its runs itself (see docs/architecture.md); both would log twice.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-mlflow", "kedro_mlflow")
CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "config_patterns": {"tracking": ["tracking*"]},
}

# Kedro calls a deprecated function of omegaconf; nobody who reads the warning can mend it.
warnings.filterwarnings("ignore", message=".*register_new_resolver", category=UserWarning)
# Design and analysis read and write datasets of the K namespaces from outside, which is their
# purpose; Kedro warns that such names are usually a mistake.
warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
