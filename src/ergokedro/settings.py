"""Kedro settings: https://docs.kedro.org/en/stable/configure/project_settings/."""

import logging
import os
import warnings

from ergokedro.runtime.config_loader import ConfigLoader
from ergokedro.runtime.console import (
    escape_unknown_characters,
    one_line_per_message,
    plain_lines_without_terminal,
)
from ergokedro.runtime.failures import unexpected
from ergokedro.runtime.hooks import ProjectHooks
from ergokedro.runtime.sweep import SweepSession

HOOKS = (ProjectHooks(),)
SESSION_CLASS = SweepSession
# The project tracks its runs itself (see docs/architecture.md); the plug-in would log them twice.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-mlflow", "kedro_mlflow")
CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
    "config_patterns": {"tracking": ["tracking*"]},
}

# How much is logged: ERGOKEDRO_LOG is quiet (warnings and the result), normal, or verbose (each
# node and dataset). conf/logging.yml has the handlers.
_LEVELS = {
    "quiet": {"ergokedro": "WARNING"},
    "normal": {},
    "verbose": {"ergokedro": "DEBUG", "kedro": "INFO", "kedro.runner": "INFO"},
}
_chosen = os.environ.get("ERGOKEDRO_LOG", "normal")
if _chosen not in _LEVELS:
    warnings.warn(f"ERGOKEDRO_LOG = {_chosen!r} is none of {', '.join(_LEVELS)}", stacklevel=1)
for _name, _level in _LEVELS.get(_chosen, {}).items():
    logging.getLogger(_name).setLevel(_level)

escape_unknown_characters()
plain_lines_without_terminal()
one_line_per_message()
# A user's mistake and a full disk are reported when the command ends.
logging.getLogger("kedro.pipeline.node").addFilter(unexpected)

# Kedro calls a deprecated function of omegaconf; users cannot do anything about it.
warnings.filterwarnings("ignore", message=".*register_new_resolver", category=UserWarning)
# `--pipeline` is a form that people know and that works.
warnings.filterwarnings("ignore", message="Option '--pipeline' is deprecated")
# Design and analysis read and write datasets of the runs' namespaces from outside, on purpose;
# Kedro warns that such names are usually a mistake.
warnings.filterwarnings("ignore", message="One or more dataset names contain '.'")
