"""RMS norms: the same function as transformers' own, found by trying."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.mamba2.modeling_mamba2 import MambaRMSNormGated

from ergokedro.models.transformers_models.norms import rms_norm, speed_up_norms


class MeanAbsolute(nn.Module):
    """Looks like an RMS norm and is none."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), 1e-6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x / (x.abs().mean(-1, keepdim=True) * 1.2533 + self.eps)


def changed(module: nn.Module) -> bool:
    return "forward" in vars(module)


def disturbed(module: Any) -> Any:
    with torch.no_grad():
        module.weight.add_(torch.linspace(-0.5, 0.5, len(module.weight)))
    return module


@pytest.mark.parametrize("kind", [LlamaRMSNorm, Gemma2RMSNorm])
@pytest.mark.parametrize("scale", [1e-3, 3.0])
def test_outputs_and_gradients_are_those_of_the_module(kind: Any, scale: float) -> None:
    own, theirs = kind(24, eps=1e-6), disturbed(kind(24, eps=1e-6))
    speed_up_norms(own)
    assert changed(own)
    assert torch.equal(own.weight, kind(24).weight)
    disturbed(own)
    x = (scale * torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(0))).transpose(0, 1)
    grad = torch.linspace(-1, 2, x.numel()).view(5, 3, 24)
    results = []
    for module in (own, theirs):
        given = x.clone().requires_grad_()
        output = module(given)
        output.backward(grad)
        results.append((output.detach(), given.grad, module.weight.grad))
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-6 * float(expected.norm()))


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, weight: rms_norm(x, weight, 0.1), (x, weight))


def test_other_modules_stay_as_they_are() -> None:
    others = nn.ModuleList([MeanAbsolute(8), nn.LayerNorm(8), nn.LayerNorm(8, bias=False)])
    others += [nn.Linear(8, 8), nn.Embedding(8, 8), MambaRMSNormGated(8, 4)]
    state = torch.random.get_rng_state()
    speed_up_norms(others)
    assert not any(changed(module) for module in others.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_gate_and_other_precisions_are_the_modules_own() -> None:
    own, theirs = MambaRMSNormGated(8, 8), disturbed(MambaRMSNormGated(8, 8))
    speed_up_norms(own)
    assert changed(disturbed(own))
    x, gate = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0)).unbind()
    assert torch.equal(own(x, gate), theirs(x, gate))
    assert torch.equal(own(x.bfloat16()), theirs(x.bfloat16()))


def test_a_copy_has_weights_of_its_own() -> None:
    norm = LlamaRMSNorm(4)
    speed_up_norms(norm)
    other = copy.deepcopy(norm)
    disturbed(norm)
    x = torch.tensor([1.0, -1.0, 1.0, -1.0])
    torch.testing.assert_close(other(x), x)
