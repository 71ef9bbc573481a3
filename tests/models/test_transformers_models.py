"""Models of transformers: the same losses as its own, sizes, and refusals."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from architectures import NAMES, config_of, see_the_next_token
from ergokedro.errors import ErgokedroError
from ergokedro.models.causal_lm import CausalLM
from ergokedro.models.factory import (
    MODELS,
    build_model,
    load_model,
    model_config,
    multiplied_weights,
    save_model,
)
from ergokedro.models.transformers_models.checks import check_model
from ergokedro.models.transformers_models.names import causal_model_types
from ergokedro.models.weights import n_parameters, weights_fingerprint
from ergokedro.parameters import ModelParameters


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained_like(name: str, **changes: Any) -> tuple[Any, torch.Tensor]:
    """A model whose weights, biases and logits are far from their initial values; windows."""
    model: Any = build_model(config_of(name, **changes), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return model, torch.randint(100, (3, 14), generator=generator)


def relative_error(found: Any, expected: Any) -> float:
    return ((found - expected).norm() / expected.norm().clamp_min(1e-12)).item()


@pytest.mark.parametrize("name", NAMES)
def test_loss_nll_and_gradients_equal_those_of_transformers(name: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model, windows = trained_like(name)
    save_model(tmp_path / "model", model)
    reference: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    output = reference(input_ids=windows, labels=windows)
    expected = -output.logits[:, :-1].log_softmax(-1).gather(2, windows[:, 1:, None])[..., 0]
    assert expected.std() > 0.05
    torch.testing.assert_close(model.nll(windows), expected, atol=1e-5, rtol=1e-5)
    loss = model.loss(windows)
    assert loss.item() == pytest.approx(output.loss.item(), rel=1e-5)

    loss.backward()
    output.loss.backward()
    gradients = {n: weight.grad for n, weight in reference.named_parameters()}
    for n, weight in model.model.named_parameters():
        assert relative_error(weight.grad, gradients[n]) < 1e-4, n


@pytest.mark.parametrize("name", NAMES)
def test_models_survive_saving(name: str, tmp_path: Path) -> None:
    model, windows = trained_like(name)
    for folder in ("a", "b"):
        save_model(tmp_path / folder, model)
    names = {file.name for file in (tmp_path / "a").iterdir()}
    assert {"config.json", "model.safetensors"} <= names
    assert not any(n.endswith((".bin", ".pt", ".py")) for n in names)
    for n in names:
        assert (tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes()
    loaded: Any = load_model(tmp_path / "a")
    assert loaded.config == model.config
    assert loaded.fused == model.fused
    assert weights_fingerprint(loaded) == weights_fingerprint(model)
    assert torch.equal(loaded.nll(windows), model.nll(windows))


@pytest.mark.parametrize("name", NAMES)
def test_no_loss_depends_on_later_tokens(name: str) -> None:
    model, windows = trained_like(name)
    before = model.nll(windows)
    for position in (5, 13):
        changed = windows.clone()
        changed[:, position] = (changed[:, position] + 1) % 100
        after = model.nll(changed)
        earlier = slice(position - 1)  # of the tokens before it
        torch.testing.assert_close(after[:, earlier], before[:, earlier], atol=1e-6, rtol=0)
        assert (after[:, position - 1] - before[:, position - 1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_losses_depend_on_the_seed_alone(name: str) -> None:
    """They are transformers' own initial weights; no random numbers are drawn afterwards."""
    config = config_of(name)
    state = torch.random.get_rng_state()
    model: Any = build_model(config, seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    again = build_model(config, seed=7)
    assert weights_fingerprint(again) == weights_fingerprint(model)
    assert weights_fingerprint(build_model(config, seed=8)) != weights_fingerprint(model)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        reference = type(model.model)(copy.deepcopy(model.model.config))
    assert weights_fingerprint(reference) == weights_fingerprint(model.model)

    windows = torch.arange(40).view(2, 20)
    model.train()
    state = torch.random.get_rng_state()
    assert model.loss(windows).item() == again.eval().loss(windows).item()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert weights_fingerprint(model) == weights_fingerprint(again)


@pytest.mark.parametrize(
    ("name", "changes", "fused"),
    [
        ("llama", {}, True),
        ("gpt2", {}, True),
        ("rwkv", {}, True),
        ("mamba2", {}, True),
        ("mixtral", {}, True),
        ("gemma2", {}, False),
        ("gemma2", {"final_logit_softcapping": None}, True),
        ("cohere", {}, False),
        ("cohere", {"logit_scale": 1.0}, True),
        ("recurrent_gemma", {}, False),
        ("phi", {}, False),  # a bias, zero at first
    ],
)
def test_the_fused_loss_is_used_where_it_is_right(
    name: str, changes: dict[str, Any], fused: bool, caplog: pytest.LogCaptureFixture
) -> None:
    monkey: Any = MODELS[name]
    monkey._fused.clear()
    with caplog.at_level("INFO", "ergokedro"):
        models: Any = [build_model(config_of(name, **changes), seed) for seed in (0, 1)]
    assert [model.fused for model in models] == [fused, fused]
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("ergokedro")]
    how = "in chunks" if fused else "more than hidden states"
    assert len(lines) == 1
    assert how in lines[0]


def test_large_evaluations_hold_few_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    model, windows = trained_like("gemma2")
    expected = model.nll(windows)
    monkeypatch.setattr("ergokedro.models.transformers_models.modules._LOGITS", 1)
    torch.testing.assert_close(model.nll(windows), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_multiplied_weights_need_no_memory(name: str) -> None:
    config = config_of(name)
    model: Any = build_model(config, seed=0)
    assert multiplied_weights(config) == model.multiplied_weights
    hidden = sum(matrix.numel() for matrix in model.hidden_matrices())
    output = model.output_weight.numel()
    assert hidden + output <= model.multiplied_weights <= n_parameters(model)
    if name == "llama":
        assert model.multiplied_weights == hidden + output
    if name == "mixtral":  # two of four experts, and the router
        assert model.multiplied_weights == hidden + output + 2 * (2 * 3 * 16 * 32 + 4 * 16)


def test_a_model_that_sees_the_future_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ErgokedroError, match=r"'bert' sees the tokens .*is_decoder=true"):
        build_model(config_of("bert"), seed=0)
    build_model(config_of("bert", is_decoder=True), seed=0)

    attention = torch.nn.functional.scaled_dot_product_attention

    def bidirectional(*args: Any, **kwargs: Any) -> torch.Tensor:
        return attention(*args, **{**kwargs, "is_causal": False, "attn_mask": None})

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", bidirectional)
    with pytest.raises(ErgokedroError, match="'llama' sees the tokens"):
        build_model(config_of("llama", rms_norm_eps=2e-6), seed=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_planted_look_ahead_is_refused(name: str) -> None:
    model: Any = build_model(config_of(name), seed=0)
    check_model(model)
    see_the_next_token(model)
    with pytest.raises(ErgokedroError, match=f"'{name}' sees the tokens"):
        check_model(model)


def test_a_model_that_draws_random_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    silu = functional.silu

    def noisy(x: torch.Tensor, inplace: bool = False) -> torch.Tensor:
        return functional.dropout(silu(x), 0.1)

    monkeypatch.setattr(torch.nn.functional, "silu", noisy)
    with pytest.raises(ErgokedroError, match="'llama' gives other logits"):
        build_model(config_of("llama", rms_norm_eps=3e-6), seed=0)


def test_sizes_are_those_of_preset_settings_and_config() -> None:
    def of(**values: Any) -> dict[str, Any]:
        return model_config(ModelParameters(**values), vocab_size=300)

    llama = of(architecture="llama", preset="tiny")
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    assert [llama[size] for size in sizes] == [128, 2, 4, 512]
    assert (llama["head_dim"], llama["num_key_value_heads"], llama["vocab_size"]) == (32, 4, 384)
    gpt2 = of(architecture="gpt2", preset="tiny", num_layers=3, config={"hidden_size": 96})
    assert [gpt2[size] for size in ("n_embd", "n_layer", "n_head")] == [96, 3, 4]
    assert {gpt2[name] for name in ("attn_pdrop", "embd_pdrop", "resid_pdrop")} == {0.0}
    mamba = of(architecture="mamba2", preset="tiny", config={"expand": 4})
    assert mamba["num_heads"] * mamba["head_dim"] == 4 * 128
    own = of(architecture="llama", config={"hidden_size": 48, "num_attention_heads": 4})
    assert (own["head_dim"], own["num_key_value_heads"], own["intermediate_size"]) == (12, 4, 192)


def test_a_configuration_directory_gives_the_shape(tmp_path: Path) -> None:
    from transformers import GPT2Config

    published = GPT2Config(n_embd=32, n_layer=1, n_head=2, n_positions=64, pad_token_id=7)
    published.save_pretrained(tmp_path)
    params = ModelParameters(architecture="gpt2", config=str(tmp_path))
    config = model_config(params, vocab_size=100)
    sizes = ("n_embd", "n_layer", "n_head", "n_positions", "vocab_size")
    assert [config[size] for size in sizes] == [32, 1, 2, 64, 128]
    assert config["attn_pdrop"] == 0.0
    assert config["pad_token_id"] is None  # which would keep the embedding of token 7 at zero
    deeper = params.model_copy(update={"num_layers": 3})
    assert model_config(deeper, vocab_size=100)["n_layer"] == 3
    assert build_model(config, seed=0).hidden_matrices()


def test_a_quantized_model_gives_its_shape_alone(tmp_path: Path) -> None:
    """How its weights are stored, and the code beside them, do not concern random weights."""
    of_files = {"quantization_config": {"quant_method": "gptq", "bits": 4}, "auto_map": {"a": "b"}}
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    published = {"model_type": "llama", "intermediate_size": 32, **sizes, **of_files}
    (tmp_path / "config.json").write_text(json.dumps(published))
    config = model_config(ModelParameters(architecture="llama", config=str(tmp_path)), 100)
    assert of_files.keys().isdisjoint(config)
    save_model(tmp_path / "model", build_model(config, seed=0))
    assert load_model(tmp_path / "model").config["hidden_size"] == 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "no directory with a readable config.json .it holds no object"),
        ('{"model_type": "gpt2"}', "of type 'gpt2'.*set model.architecture=gpt2"),
        ('{"model_type": "t5"}', "of type 't5'.*no causal language model"),
        ("{}", "of type None.*no causal language model"),
    ],
)
def test_directories_of_other_models(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    params = ModelParameters(architecture="llama", config=str(tmp_path))
    with pytest.raises(ErgokedroError, match=message):
        model_config(params, vocab_size=100)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("llama", {"hiden_size": 8}, r"model\.config\.hiden_size is .*llama are: .* hidden_size"),
        ("llama", {"vocab_size": 8}, r"model\.config\.vocab_size is .*not a choice"),
        ("gpt2", {"attn_pdrop": 0.1}, r"model\.config\.attn_pdrop = 0\.1: .*without dropout"),
        ("llama", {"hidden_size": "x"}, r"model\.config does not fit llama: .*hidden_size"),
        ("llama", {"hidden_size": 30, "num_attention_heads": 4}, r"does not fit llama|fails with"),
        ("gemma3", {}, r"'gemma3' has no vocabulary .*model\.architecture=gemma3_text"),
        ("fuyu", {}, r"'fuyu' has no vocabulary .*choose a text model"),
        ("gemma4_assistant", {}, r"'gemma4_assistant' cannot be configured by fields"),
        ("llama", "/nowhere", r"model\.config = '/nowhere' is no directory"),
    ],
)
def test_configurations_that_do_not_fit(name: str, config: Any, message: str) -> None:
    params = ModelParameters(architecture=name, config=config)
    with pytest.raises(ErgokedroError, match=message):
        build_model(model_config(params, vocab_size=100), seed=0)


def test_windows_longer_than_the_positions_are_refused() -> None:
    model = build_model(config_of("gpt2", n_positions=16), seed=0)
    assert torch.isfinite(model.loss(torch.ones(1, 16, dtype=torch.int64)))
    for function in (model.loss, model.nll):
        with pytest.raises(ErgokedroError, match=r"window_length = 17 .* the 16 positions"):
            function(torch.ones(1, 17, dtype=torch.int64))


def test_a_full_disk_is_the_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def fail(*args: Any, **kwargs: Any) -> None:
        raise SafetensorError("I/O error")

    model, _ = trained_like("llama")
    monkeypatch.setattr(type(model.model), "save_pretrained", fail)
    monkeypatch.setattr("ergokedro.models.weights.save_file", fail)
    with pytest.raises(SafetensorError):  # a defect of another kind
        save_model(tmp_path / "model", model)
    original = Path.write_bytes

    def write_bytes(path: Path, data: bytes) -> int:
        if path.suffix == ".safetensors":
            raise OSError(28, "No space left on device")
        return original(path, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OSError, match="No space left"):
        save_model(tmp_path / "model", model)
    assert not list(tmp_path.iterdir())


def test_files_that_are_damaged_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model, _ = trained_like("llama")
    save_model(tmp_path / "model", model)
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    weights.pop("model.norm.weight")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ErgokedroError, match=r"no readable model.*model\.norm\.weight"):
        load_model(tmp_path / "model")


def test_the_model_types_are_those_of_transformers() -> None:
    """They are known without an import of torch or transformers."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    assert causal_model_types() == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    code = (
        "import sys; from ergokedro.models.factory import MODELS; MODELS['llama']; "
        "assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_embedding_of_every_token_is_trained() -> None:
    """Also of those that the published model pads with."""
    for name in ("gemma2", "mamba2", "cohere"):
        model: CausalLM = build_model(config_of(name), seed=0)
        embedding = next(m for m in model.modules() if isinstance(m, torch.nn.Embedding))
        assert embedding.padding_idx is None
        model.loss(torch.tensor([[0, 1, 0, 1]])).backward()
        assert embedding.weight.grad is not None
        assert (embedding.weight.grad[:2].abs().sum(dim=1) > 0).all()
