"""Directories of small models, complete with tokenizer, settings of generation and card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from architectures import config_of
from ergokedro.analysis.random_effects import Estimate, SampleSize
from ergokedro.data.tokenizer import (
    END_OF_TEXT,
    Tokenizer,
    TokenizerDefinition,
    save_tokenizer,
    train_bpe,
)
from ergokedro.design.mixture import Component, Manifest
from ergokedro.design.records import RunSummary
from ergokedro.models.factory import build_model, model_config, save_model
from ergokedro.parameters import ModelParameters
from ergokedro.reporting.model_card import ModelCard, directory_files

TEXTS = [f"The {word} of a model in a folder: {END_OF_TEXT}" for word in ("card", "size", "name")]


def make_tokenizer(path: Path) -> Tokenizer:
    """One that would add tokens at both ends, which it did not do in training."""
    definition = json.loads(train_bpe(TEXTS, 300))
    end = {"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}
    definition["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [end, {"Sequence": {"id": "A", "type_id": 0}}, end],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {END_OF_TEXT: {"id": END_OF_TEXT, "ids": [0], "tokens": [END_OF_TEXT]}},
    }
    return save_tokenizer(path, TokenizerDefinition(json.dumps(definition), END_OF_TEXT, "test"))


def make_card(run: str = "k2", *, in_transformers: bool = True, **settings: Any) -> ModelCard:
    labels = ["a*b", "c"]
    parts = {"start": 0, "stop": 100, "windows": 5, "available_windows": 5, "adjusted": False}
    manifest = Manifest(
        run=run,
        k=2,
        window_length=20,
        within_documents=False,
        total_tokens=200,
        components=[Component(label=label, **parts) for label in labels],
        store="",
        tokenizer="",
    )
    numbers = {name: 1 for name, field in RunSummary.model_fields.items() if field.is_required()}
    fields = {
        **numbers,
        **{name: "x" for name in ("initial_weights", "final_weights", "schedule", "device")},
        "run": run,
        "k": 2,
        "components": labels,
        "manifest": "",
        "total_tokens": 200,
        "tokens_seen": 400,
        "settings": {
            "model": {"architecture": "gpt_neox"},
            "training": {"optimizer": "muon", "learning_rate": 0.008},
        },
    }
    xe = Estimate(3.25, 3.125, 3.375, 0.1, 9.0, (), SampleSize(1, 1, 3, 2))
    return ModelCard(RunSummary(**fields), manifest, xe, "csv", settings, "f00", in_transformers)


def make_directory(directory: Path, name: str, tokenizer: Tokenizer) -> Any:
    """Save a model of an architecture with random weights, and give it."""
    small = ModelParameters(hidden_size=16, num_layers=1, num_heads=2)
    config = model_config(small, 300) if name == "gpt_neox" else config_of(name, 300)
    model = build_model(config, seed=1)
    save_model(directory, model)
    for name, text in directory_files(make_card(), tokenizer).items():
        (directory / name).write_text(text, encoding="utf-8")
    return model
