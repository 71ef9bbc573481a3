"""Validation of settings: one message that names the key, the value and what is allowed."""

from typing import Any

import pytest

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import validate_parameters


def test_defaults_are_valid() -> None:
    parameters = validate_parameters({})
    assert parameters.runs == [1, 2, 3, 4, 5]
    assert parameters.mixture.window_length == 100
    assert parameters.training.epochs == 4


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ({"training": {"epochs": 0}}, ["training.epochs = 0", "greater than or equal to 1"]),
        ({"training": {"epochs": "four"}}, ["training.epochs = 'four'", "integer"]),
        ({"trainin": {}}, ["trainin: unknown key", "training"]),
        ({"training": {"epoch": 4}}, ["training.epoch: unknown key", "epochs"]),
        ({"corpus": {"synthetic": {"stats": 3}}}, ["corpus.synthetic.stats", "states"]),
        ({"tokenizer": {"vocab_size": 2**20}}, ["tokenizer.vocab_size = 1048576", "1000000"]),
        ({"k": True}, ["k", "True"]),
        ({"k": 9}, ["9", "corpus.synthetic.components"]),
        ({"k": 3, "mixture": {"components": ["a", "b"]}}, ["mixture.components", "2"]),
        ({"experiment": "a/b"}, ["experiment = 'a/b': the name of a folder has only letters"]),
        ({"experiments": "../a+b"}, ["experiments = '../a+b': the name of a folder has only"]),
        ({"experiments": "a b"}, ["experiments = 'a b'"]),
        ({"controls": 3}, ["controls = 3: not a value but a group"]),
        ({"mixture": {"components": "a"}}, ["--params 'mixture.components=[a,b]'"]),
        ({"model": {"config": 3}}, ["parameters:\n  model.config = 3: name fields", "directory"]),
        (
            {"training": {"processes": 6, "batch_size": 5}},
            ["training.processes = 6 is more than the training.batch_size of 5"],
        ),
    ],
)
def test_messages(raw: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ErgokedroError) as error:
        validate_parameters(raw)
    for part in parts:
        assert part in error.value.message


def test_every_mistake_is_told_at_once() -> None:
    raw = {"training": {"epochs": 0, "batch_size": 0}, "seed": -1}
    with pytest.raises(ErgokedroError) as error:
        validate_parameters(raw)
    assert all(key in error.value.message for key in ("epochs", "batch_size", "seed"))


def test_a_larger_k_raises_top_n() -> None:
    raw = {"k": 7, "corpus": {"source": "somebody/corpus"}}
    parameters = validate_parameters(raw)
    assert parameters.mixture.top_n == 7
    assert parameters.runs == [7]


def test_pinned_components_set_the_number_of_runs() -> None:
    parameters = validate_parameters({"mixture": {"components": ["a", "b", "c"]}})
    assert parameters.runs == [1, 2, 3]


def test_no_references_are_written_as_nothing() -> None:
    assert validate_parameters({"references": None}).references == []


@pytest.mark.parametrize("given", ["a/b + /c d/e@v1", ["a/b", "/c d/e@v1"]])
def test_references_are_a_list_or_joined(given: Any) -> None:
    assert validate_parameters({"references": given}).references == ["a/b", "/c d/e@v1"]
    assert validate_parameters({"references": ""}).references == []


@pytest.mark.parametrize("names", ["", "a", "a+b.c", "2024_x+y-1"])
def test_experiments_are_names_of_folders_joined_by_plus(names: str) -> None:
    assert validate_parameters({"experiments": names}).experiments == names
