"""The same function of the same weights as transformers' GPT-NeoX, and its loss and gradients."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from ergokedro.errors import ErgokedroError
from ergokedro.models import cross_entropy
from ergokedro.models.cross_entropy import linear_cross_entropy, token_cross_entropy
from ergokedro.models.factory import build_model, load_model, model_config, save_model
from ergokedro.models.gpt_neox.modules import GPTNeoX
from ergokedro.models.presets import PRESETS
from ergokedro.parameters import ModelParameters

VOCABULARY = 640


def reference_of(model: GPTNeoX, directory: Path) -> Any:
    """transformers' model of the same weights, by way of a saved directory."""
    from transformers import GPTNeoXForCausalLM

    save_model(directory, model)
    return GPTNeoXForCausalLM.from_pretrained(directory, local_files_only=True)


def relative_error(found: Any, expected: Any) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def make_model(**settings: Any) -> tuple[GPTNeoX, torch.Tensor]:
    """A model with weights large enough to matter, biases among them, and tokens."""
    model: Any = build_model(model_config(ModelParameters(**settings), VOCABULARY), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model, torch.randint(VOCABULARY, (3, 50), generator=generator)


CASES = [
    *[
        {"preset": preset, "num_layers": 2}
        for preset in PRESETS
        if preset not in ("pythia-410m", "pythia-1b")  # whose layers have other widths only
    ],
    {"rotary_pct": 0.5, "parallel_residual": True},
    {"rotary_pct": 0.25, "parallel_residual": False, "hidden_size": 48, "num_heads": 3},
]


@pytest.mark.parametrize("settings", CASES, ids=str)
def test_logits_and_gradients_equal_those_of_transformers(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    model, tokens = make_model(**settings)
    reference = reference_of(model, tmp_path / "model")
    logits = reference(input_ids=tokens[:, :-1]).logits
    assert relative_error(model(tokens[:, :-1]), logits) < 1e-5

    functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    model.loss(tokens).backward()
    expected = dict(reference.named_parameters())
    assert set(expected) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        assert relative_error(parameter.grad, expected[name].grad) < 1e-5, name


def test_models_of_transformers_are_read_back(tmp_path: Path) -> None:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5}
    config = GPTNeoXConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=80,
        rope_parameters=rope,
    )
    reference = GPTNeoXForCausalLM(config).eval()
    reference.save_pretrained(tmp_path / "model")
    tokens = torch.randint(100, (2, 30))
    loaded = load_model(tmp_path / "model")
    assert relative_error(loaded(tokens), reference(input_ids=tokens).logits) < 1e-5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("hidden_act", "relu", "not supported: hidden_act = 'relu'"),
        ("attention_bias", False, "not supported: attention_bias"),
        ("model_type", "llama", "weights that do not fit"),
        ("model_type", "elman", "model.architecture = 'elman' is unknown"),
    ],
)
def test_other_architectures_are_refused(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    save_model(tmp_path / "model", make_model(hidden_size=16)[0])
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(ErgokedroError, match=message):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_chunked_loss_and_gradients_equal_float64(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(cross_entropy, "_CHUNK_ROWS", rows)
    monkeypatch.setattr(cross_entropy, "_CHUNK_BYTES", 0)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(23, 8, generator=generator, requires_grad=True)
    weight = torch.randn(31, 8, generator=generator, requires_grad=True)
    targets = torch.randint(31, (23,), generator=generator)
    loss = 3 * linear_cross_entropy(hidden, weight, targets)
    loss.backward()
    double = [hidden.detach().double().requires_grad_(), weight.detach().double().requires_grad_()]
    expected = 3 * functional.cross_entropy(double[0] @ double[1].T, targets)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for found, wanted in zip((hidden, weight), double, strict=True):
        assert relative_error(found.grad, wanted.grad) < 1e-6


def test_probabilities_too_small_for_float32() -> None:
    """Evaluation and gradient are exact; the training loss of a token is at most 87 nats."""
    hidden = torch.tensor([[300.0], [1.0]], requires_grad=True)
    weight = torch.tensor([[1.0], [0.0]])
    targets = torch.tensor([1, 1])
    exact = functional.cross_entropy(hidden.double() @ weight.double().T, targets, reduction="none")
    found = token_cross_entropy(hidden.detach(), weight, targets)
    torch.testing.assert_close(found, exact.float())
    loss = linear_cross_entropy(hidden, weight, targets)
    loss.backward()
    assert loss.item() == pytest.approx((87.3365 + exact[1].item()) / 2)
    torch.testing.assert_close(hidden.grad, torch.tensor([[0.5], [0.5 / (1 + math.exp(-1))]]))


def test_loss_is_the_mean_nll() -> None:
    model, tokens = make_model(hidden_size=16)
    nll = model.nll(tokens)
    assert nll.shape == (3, 49)
    assert model.loss(tokens).item() == pytest.approx(nll.double().mean().item(), abs=1e-6)


def test_bfloat16_autocast_keeps_the_loss_and_weights_in_float32() -> None:
    model, tokens = make_model(hidden_size=32)
    expected = model.loss(tokens).item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(tokens)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=0.01)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
