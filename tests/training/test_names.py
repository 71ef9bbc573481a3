"""Settings that name a registered thing are checked early, and quickly."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import ModelParameters, Parameters, TrainingParameters
from ergokedro.runtime.config_loader import check_parameters
from ergokedro.training.names import check_names


@pytest.mark.parametrize(
    ("group", "name", "known"),
    [
        ("model", "architecture", "gpt_neox"),
        ("model", "preset", "micro, tiny, pythia-14m, pythia-31m, pythia-70m, pythia-160m"),
        ("training", "optimizer", "adamw, muon"),
        ("training", "schedule", "cosine, wsd, averaged"),
    ],
)
def test_an_unknown_name_is_one_error(group: str, name: str, known: str) -> None:
    """As the configuration loader finds it, before any work starts."""
    with pytest.raises(ErgokedroError) as error:
        check_parameters({group: {name: "mine"}})
    assert f"{group}.{name} = 'mine' is unknown. Known: {known}" in error.value.message
    assert "plugins" in error.value.message


def test_known_names_pass() -> None:
    check_names(ModelParameters(preset="tiny"), TrainingParameters(schedule="wsd"))
    check_parameters(Parameters().model_dump())


def test_the_learning_rate_of_the_size_is_filled_in_once() -> None:
    chosen = check_parameters({"model": {"preset": "pythia-1b"}})
    assert chosen.training.learning_rate == 1e-3
    again = check_parameters(chosen.model_dump(mode="json") | {"model": {"preset": "micro"}})
    assert again.training.learning_rate == 1e-3
    assert check_parameters({}).training == Parameters().training


def test_names_are_checked_without_torch() -> None:
    code = (
        "import sys; from ergokedro.training.names import check_names; "
        "from ergokedro.parameters import ModelParameters, TrainingParameters; "
        "check_names(ModelParameters(architecture='llama'), TrainingParameters()); "
        "print(sorted({'torch', 'transformers'} & sys.modules.keys()))"
    )
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.strip() == "[]"
