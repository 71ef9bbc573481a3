"""Built-in sizes, seeded weights, saving and loading, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ergokedro.errors import ErgokedroError
from ergokedro.models import presets
from ergokedro.models.causal_lm import CausalLM
from ergokedro.models.factory import (
    MODELS,
    build_model,
    load_model,
    model_config,
    multiplied_weights,
    save_model,
)
from ergokedro.models.gpt_neox.config import GPTNeoXConfig, from_transformers
from ergokedro.models.presets import (
    PRESETS,
    shape,
    warn_of_untuned_rate,
    with_learning_rate,
    with_preset,
)
from ergokedro.models.weights import file_tensors, n_parameters, weights_fingerprint
from ergokedro.parameters import ModelParameters, Parameters, TrainingParameters
from ergokedro.runtime.config_loader import check_parameters


def small_model(seed: int = 0, **settings: Any) -> CausalLM:
    params = ModelParameters(hidden_size=16, num_layers=2, num_heads=2, **settings)
    return build_model(model_config(params, vocab_size=50), seed)


def neox(vocab_size: int = 300, **settings: Any) -> GPTNeoXConfig:
    return from_transformers(model_config(ModelParameters(**settings), vocab_size))


# The published totals of Biderman et al. (2023) and of the models' cards.
@pytest.mark.parametrize(
    ("preset", "parameters", "rotary"),
    [
        ("pythia-14m", 14_067_712, 8),
        ("pythia-31m", 30_494_720, 8),
        ("pythia-70m", 70_426_624, 16),
        ("pythia-160m", 162_322_944, 16),
        ("pythia-410m", 405_334_016, 16),
        ("pythia-1b", 1_011_781_632, 64),
    ],
)
def test_pythia_sizes_are_the_published_ones(preset: str, parameters: int, rotary: int) -> None:
    config = model_config(ModelParameters(preset=preset), vocab_size=50_277)
    model = MODELS["gpt_neox"].skeleton(config)
    assert n_parameters(model) == parameters
    pythia = from_transformers(config)
    assert pythia.rotary_dimensions == rotary
    assert pythia.use_parallel_residual
    assert (pythia.vocab_size, pythia.max_position_embeddings) == (50_304, 2048)


def test_multiplied_weights_are_those_of_the_matrices() -> None:
    """All weights less the embedding, biases and norms; no weights are made to count them."""
    config = model_config(ModelParameters(preset="pythia-160m"), vocab_size=50_277)
    model: Any = MODELS["gpt_neox"].skeleton(config)
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    expected = matrices - model.gpt_neox.embed_in.weight.numel()
    assert multiplied_weights(config) == model.multiplied_weights == expected
    hidden = sum(matrix.numel() for matrix in model.hidden_matrices())
    assert hidden == expected - model.lm_head.weight.numel()


def test_tiny_rotates_whole_heads_and_has_sequential_residuals() -> None:
    tiny = neox(preset="tiny")
    model: Any = build_model(model_config(ModelParameters(preset="tiny"), 300), seed=0)
    assert (tiny.hidden_size, tiny.num_hidden_layers, tiny.intermediate_size) == (128, 2, 512)
    assert tiny.rotary_dimensions == 128 // 4
    assert not tiny.use_parallel_residual
    first, last = model.gpt_neox.embed_in.weight, model.lm_head.weight
    assert first is not last
    for weight in (first, last):
        assert weight.std().item() == pytest.approx(0.04, rel=0.02)


@pytest.mark.parametrize(("vocab_size", "padded"), [(1, 128), (128, 128), (129, 256)])
def test_the_vocabulary_is_padded(vocab_size: int, padded: int) -> None:
    assert neox(vocab_size).vocab_size == padded


def test_overrides_replace_single_fields_of_the_preset() -> None:
    config = neox(preset="pythia-14m", num_layers=3, parallel_residual=False)
    assert (config.num_hidden_layers, config.hidden_size) == (3, 128)
    assert not config.use_parallel_residual
    assert neox(preset="pythia-14m", hidden_size=64).intermediate_size == 256


def test_a_registered_preset_is_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PRESETS, "_entries", dict(PRESETS._entries))
    PRESETS.register("mine", {"hidden_size": 48, "num_layers": 1, "num_heads": 3})
    mine = neox(preset="mine", num_layers=2)
    assert (mine.hidden_size, mine.num_hidden_layers, mine.num_attention_heads) == (48, 2, 3)
    assert mine.rotary_pct == 0.25  # Pythia's
    PRESETS.register("open", {"hidden_size": 48})
    with pytest.raises(ErgokedroError, match=r"model\.num_layers is given neither"):
        neox(preset="open")
    PRESETS.register("mistyped", {"hiden_size": 48})
    with pytest.raises(ErgokedroError, match=r"'mistyped' is registered .*(\n.*)*hiden_size"):
        neox(preset="mistyped")


@pytest.mark.parametrize("parameters", [3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9])
def test_a_number_of_weights_gives_a_shape(parameters: float) -> None:
    config = model_config(ModelParameters(parameters=parameters), vocab_size=300)
    model = MODELS["gpt_neox"].skeleton(config)
    hidden = sum(matrix.numel() for matrix in model.hidden_matrices())
    assert hidden == pytest.approx(parameters, rel=0.25)
    sizes = shape(parameters)
    assert sizes["num_layers"] >= 2
    assert sizes["hidden_size"] // sizes["num_heads"] in (32, 64)


def test_a_number_of_weights_replaces_the_sizes_of_the_preset() -> None:
    chosen = with_preset(ModelParameters(preset="pythia-14m", parameters=3e6, num_layers=6))
    assert (chosen.hidden_size, chosen.num_layers, chosen.num_heads) == (256, 6, 8)
    assert chosen.parallel_residual


@pytest.mark.parametrize(
    ("model", "training", "rate"),
    [
        ({}, {}, 8e-3),
        ({"preset": "tiny"}, {}, 1e-2),
        ({"preset": "tiny"}, {"learning_rate": 5e-3}, 5e-3),
        ({"preset": "tiny"}, {"optimizer": "adamw"}, 2.5e-3),
        ({"preset": "tiny", "hidden_size": 512}, {}, 4e-3),
        ({"preset": "pythia-1b"}, {}, 1e-3),
        ({"parameters": 3e6}, {}, 8e-3),
        ({"parameters": 1e9}, {"optimizer": "adamw"}, 2e-3 * 256 / 1728),
        ({"architecture": "gpt2", "config": {"n_embd": 1024}}, {}, 2e-3),
        ({"architecture": "gpt2", "config": "/somewhere"}, {}, 8e-3),
        ({"preset": "pythia-1b"}, {"optimizer": "mine"}, 8e-3),
    ],
)
def test_the_learning_rate_suits_the_size(
    model: dict[str, Any], training: dict[str, Any], rate: float
) -> None:
    chosen = with_learning_rate(TrainingParameters(**training), ModelParameters(**model))
    assert chosen.learning_rate == pytest.approx(rate)
    assert with_learning_rate(chosen, ModelParameters(preset="pythia-1b")) == chosen


def test_a_directory_and_a_number_of_weights_exclude_each_other() -> None:
    params = ModelParameters(architecture="llama", config="/somewhere", parameters=3e6)
    with pytest.raises(ErgokedroError, match=r"model.parameters = 3e\+06 has no effect beside"):
        with_preset(params)


def test_a_configuration_directory_gives_the_width(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": 1024}')
    inside = ModelParameters(architecture="llama", config=str(tmp_path))
    wider = inside.model_copy(update={"hidden_size": 2048})
    rates = [with_learning_rate(TrainingParameters(), m).learning_rate for m in (inside, wider)]
    assert rates == [2e-3, 1e-3]


def test_completed_settings_are_warned_of_too(caplog: pytest.LogCaptureFixture) -> None:
    """The configuration loader fills in the rate and gives every value to the nodes."""
    presets._warn_once.cache_clear()
    complete = check_parameters({"model": {"preset": "pythia-70m"}}).model_dump(mode="json")
    chosen = Parameters.model_validate(complete)
    warn_of_untuned_rate(chosen.training, chosen.model, tokens=3e6)
    assert "this model has width 512" in caplog.text


@pytest.mark.parametrize(
    ("model", "training", "tokens", "warned"),
    [
        ({}, {}, 3e6, False),
        ({"preset": "tiny"}, {}, 2e5, False),
        ({"parameters": 3e6}, {}, 2.9e7, False),
        ({}, {}, 3.1e7, True),
        ({}, {}, 1.9e4, True),
        ({"preset": "pythia-70m"}, {}, 3e6, True),
        ({"architecture": "llama", "config": {"hidden_size": 320}}, {}, 3e6, True),
        ({"architecture": "gpt2", "config": "/somewhere"}, {}, 3e6, False),
        ({"preset": "pythia-70m"}, {"learning_rate": 1e-3}, 3e8, False),
        ({"preset": "pythia-70m"}, {"learning_rate": 4e-3}, 3e8, True),  # as the rule has it
    ],
)
def test_a_rate_far_from_its_evidence_is_warned_of_once(
    model: dict[str, Any],
    training: dict[str, Any],
    tokens: float,
    warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    presets._warn_once.cache_clear()
    for _ in range(2):
        warn_of_untuned_rate(TrainingParameters(**training), ModelParameters(**model), tokens)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == warned
    assert all(f"reads {tokens:,.0f}; try others" in message for message in messages)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "gpt2"}, r"model\.preset = 'gpt2' is unknown\. Known: micro, .*pythia-160m"),
        ({"architecture": "rnn"}, r"model\.architecture = 'rnn' is unknown\. Known: gpt_neox"),
    ],
)
def test_unknown_names_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ErgokedroError, match=message):
        neox(**settings)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"hidden_size": 131}, r"hidden_size = 131.*num_heads = 2"),
        ({"rotary_pct": 0.0}, r"rotary_pct = 0\.0"),
        ({"rotary_pct": 0.1}, r"rotates 3 of the 32"),
    ],
)
def test_impossible_shapes_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ErgokedroError, match=named):
        model_config(ModelParameters(**settings), vocab_size=300)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"config": {"hidden_size": 8}}, r"model\.config = .* no effect .*'gpt_neox'"),
        ({"config": "/models/pythia"}, r"model\.config = '/models/pythia' .*'gpt_neox'"),
        ({"architecture": "llama", "rotary_pct": 0.5}, r"model\.rotary_pct = 0\.5 .*'llama'"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ErgokedroError, match=named):
        model_config(ModelParameters(**settings), vocab_size=300)


def test_weights_depend_on_the_seed_alone() -> None:
    first = weights_fingerprint(small_model(seed=7))
    torch.rand(3)
    assert weights_fingerprint(small_model(seed=7)) == first
    assert weights_fingerprint(small_model(seed=8)) != first


def test_building_leaves_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    small_model(seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_fingerprint_sees_the_smallest_change() -> None:
    model: Any = small_model()
    before = weights_fingerprint(model)
    with torch.no_grad():
        bias = model.gpt_neox.final_layer_norm.bias
        bias[0] = torch.nextafter(bias[0], torch.tensor(1.0))
    assert weights_fingerprint(model) != before


def test_a_model_survives_saving(tmp_path: Path) -> None:
    model = small_model(rotary_pct=0.5, parallel_residual=True)
    save_model(tmp_path / "model", model)
    loaded = load_model(tmp_path / "model")
    assert weights_fingerprint(loaded) == weights_fingerprint(model)
    tokens = torch.arange(24).reshape(2, 12)
    assert torch.equal(loaded(tokens), model(tokens))


def test_equal_models_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_model(tmp_path / name, small_model())
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert {"config.json", "model.safetensors"} <= set(files)
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert json.loads((tmp_path / "a" / "config.json").read_text())["model_type"] == "gpt_neox"


def test_a_failed_save_keeps_the_former_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, newer = small_model(seed=1), small_model(seed=2)
    save_model(tmp_path / "model", former)

    def fail(directory: Path, model: CausalLM) -> None:
        (directory / "model.safetensors").write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(MODELS["gpt_neox"], "save_weights", fail)
    with pytest.raises(OSError, match="disk full"):
        save_model(tmp_path / "model", newer)
    assert weights_fingerprint(load_model(tmp_path / "model")) == weights_fingerprint(former)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_missing_model_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ErgokedroError, match="kedro run --pipelines training"):
        load_model(tmp_path / "none")


def test_tied_weights_can_be_stored() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    tensors = {"embedding": weight, "output": weight, "transposed": weight.T}
    stored = file_tensors(tensors)
    assert len({tensor.data_ptr() for tensor in stored.values()}) == 3
    for name, tensor in tensors.items():
        assert torch.equal(stored[name], tensor)
        assert stored[name].is_contiguous()
    assert stored["embedding"].data_ptr() == weight.data_ptr()
