"""Values of --params: numbers, lists, text in quotes, and text as it stands."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.framework.cli.utils import find_run_command

from ergokedro.cli import run, split_params


def split(text: Any) -> dict[str, Any]:
    option = next(option for option in run.params if option.name == "params")
    return split_params(click.Context(run), option, text)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        ("k=3,seed=1", {"k": 3, "seed": 1}),
        ("k=2-4", {"k": "2-4"}),
        ("k=1+3, plan = true", {"k": "1+3", "plan": True}),
        ("training.learning_rate=8e-3", {"training": {"learning_rate": 8e-3}}),
        ("a=null,b=NO", {"a": None, "b": False}),
        ("mixture.components=[a,b],k=2", {"mixture": {"components": ["a", "b"]}, "k": 2}),
        ("""m=["S, E", 'NO', "]"],k=1""", {"m": ["S, E", "NO", "]"], "k": 1}),
        ("experiment=2024", {"experiment": 2024}),
        ('experiment="2024"', {"experiment": "2024"}),
        ("a='x,y',b=1", {"a": "x,y", "b": 1}),
        # Text that YAML would refuse or read as something else.
        ("corpus.text_files=**/*.txt,k=1", {"corpus": {"text_files": "**/*.txt"}, "k": 1}),
        ("a=x #1", {"a": "x #1"}),
        ("a=b: c", {"a": "b: c"}),
        ("a=it's,b=1", {"a": "it's", "b": 1}),
        ("a=/data/a[1].jsonl,b=2", {"a": "/data/a[1].jsonl", "b": 2}),
        ("a=[1", {"a": "[1"}),
        ("a=%x", {"a": "%x"}),
        ("a=@x,b=`y`", {"a": "@x", "b": "`y`"}),
        ("a=#x,b=- y,c=&z", {"a": "#x", "b": "- y", "c": "&z"}),
        ("a=~,b=,c=Null,d={}", {"a": None, "b": None, "c": None, "d": {}}),
        ({"k": 3}, {"k": 3}),
    ],
)
def test_values(text: Any, settings: dict[str, Any]) -> None:
    assert split(text) == settings


@pytest.mark.parametrize("text", ["[a,b]", "k=1,b", "=3", "x,k=1"])
def test_what_is_no_setting_is_one_message(text: str) -> None:
    with pytest.raises(click.UsageError, match="not of the form key=value"):
        split(text)


def test_half_a_reference_is_one_message() -> None:
    with pytest.raises(click.UsageError, match="another setting"):
        split("a=${x")


@given(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["C"], exclude_characters="$'"), min_size=1
    )
)
def test_any_text_in_quotes_is_that_text(text: str) -> None:
    assert split(f"a='{text}',k=1") == {"a": text, "k": 1}


def test_kedro_finds_the_command() -> None:
    assert find_run_command("ergokedro") is run
