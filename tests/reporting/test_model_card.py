"""A trained model's directory: read by transformers as it is, and described by its card."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from architectures import NAMES
from ergokedro.cli import split_params
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.reporting.model_card import directory_files
from model_directories import make_card, make_directory, make_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("card") / "tokenizer")


@pytest.mark.parametrize("name", ["gpt_neox", *NAMES])
def test_transformers_reads_the_directory(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = make_directory(tmp_path / "model", name, tokenizer)
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model", local_files_only=True)
    tokens = torch.arange(24).view(2, 12)
    torch.testing.assert_close(loaded(tokens).logits, model(tokens), atol=1e-5, rtol=1e-5)
    read: Any = AutoTokenizer.from_pretrained(tmp_path / "model", local_files_only=True)
    text = "The name of a card"
    (ids,) = tokenizer.encode([text])
    assert read(text)["input_ids"] == ids.tolist()
    special = {read.bos_token_id, read.eos_token_id, read.pad_token_id}
    assert special == {tokenizer.end_of_text}


@pytest.mark.parametrize(
    "name", ["gpt_neox", *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES)]
)
def test_the_pipeline_of_transformers_writes_text(
    name: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    from transformers import pipeline

    make_directory(tmp_path / "model", name, tokenizer)
    generate: Any = pipeline("text-generation", model=str(tmp_path / "model"))
    settings = generate.model.generation_config
    assert (settings.eos_token_id, settings.pad_token_id) == (0, 0)
    assert (settings.do_sample, settings.max_new_tokens) == (True, 10)
    (answer,) = generate("The name")
    assert answer["generated_text"].startswith("The name")
    assert len(answer["generated_text"]) > len("The name")


def test_the_card_says_what_the_model_is(tokenizer: Tokenizer) -> None:
    text = directory_files(make_card(), tokenizer)["README.md"]
    _, metadata, body = text.split("---\n", 2)
    assert yaml.safe_load(metadata) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "unknown",
        "tags": ["ergokedro"],
    }
    for part in (
        "# k2: a language model of 2 components",
        r"| a\*b, c |",
        "| 200 tokens |",
        "3.2500 [3.1250, 3.3750] nats per token",
        "commit f00",
        "kedro run --params k=2",
    ):
        assert part in body, part


def test_a_model_that_transformers_does_not_know_is_weights_only(tokenizer: Tokenizer) -> None:
    files = directory_files(make_card(in_transformers=False), tokenizer)
    assert set(files) == {"README.md", "tokenizer.json", "tokenizer_config.json"}
    assert "library_name" not in files["README.md"]
    assert "weights, configuration and\ntokenizer" in files["README.md"]


def test_the_command_holds_what_decides_the_model() -> None:
    """And nothing else: the same model has the same card, whatever else was run beside it."""
    settings: dict[str, Any] = {
        "k": "1-3",
        "seed": 3,
        "plan": False,
        "mixture.components": ["a b", "c,d"],
        "corpus.source": "files/**/*.csv",
        "model.config.tie_word_embeddings": True,
        "training.epochs": 2,
        "training.processes": 2,
        "training.checkpoints.every": 1,
        "controls.seeds": 2,
        "analysis.bootstrap": 100,
    }

    def given(run: str) -> Any:
        *command, values = shlex.split(make_card(run, **settings).command)
        assert command == ["kedro", "run", "--params"]
        context: Any = None
        return split_params(context, context, values)

    expected = {
        "experiment": "again",
        "seed": 3,
        "mixture": {"components": ["a b", "c,d"]},
        "corpus": {"source": "files/**/*.csv"},
        "model": {"config": {"tie_word_embeddings": True}},
        "training": {"epochs": 2},
    }
    assert given("k2") == {"k": 2, **expected}
    assert given("seeds.k2_seed1") == {"k": "1-3", "controls": {"seeds": 2}, **expected}


def test_the_command_does_not_write_over_the_embedded_corpus() -> None:
    """As `kedro run` refuses to do: settings of an environment say nothing of its name."""
    own: dict[str, Any] = {"corpus.source": "mine.csv"}
    assert "experiment=" in make_card("k2", **own).command
    assert "experiment=" not in make_card("k2", seed=3).command
    named = make_card("k2", **own, experiment="mine").command
    assert named.count("experiment=") == 1
    assert "mine" in named
