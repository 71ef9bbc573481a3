"""Muon: an orthogonal update of the right size, for the right weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim import SGD, AdamW, Optimizer

from ergokedro.models.factory import build_model, model_config
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.training.muon import Muon, orthogonal
from ergokedro.training.optimizers import OPTIMIZERS
from ergokedro.training.step import update

MODEL = model_config(ModelParameters(hidden_size=16, num_layers=2, num_heads=2), vocab_size=100)


def model() -> Any:
    return build_model(MODEL, 0)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_each_weight_has_one_optimizer_and_decay_is_for_matrices(optimizer: str) -> None:
    weights = dict(model().named_parameters())
    trained = model()
    names = {id(p): name for name, p in trained.named_parameters()}
    params = TrainingParameters(optimizer=optimizer, weight_decay=0.1)
    groups = [g for o in OPTIMIZERS[optimizer](trained, params) for g in o.param_groups]
    assert sorted(names[id(p)] for g in groups for p in g["params"]) == sorted(weights)
    for group in groups:
        for parameter in group["params"]:
            assert (group["weight_decay"] > 0) == (parameter.ndim >= 2), names[id(parameter)]


def test_muon_has_the_matrices_between_embedding_and_output() -> None:
    trained = model()
    names = {id(p): name for name, p in trained.named_parameters()}
    adamw, muon = OPTIMIZERS["muon"](trained, TrainingParameters())
    assert isinstance(adamw, AdamW)
    assert isinstance(muon, Muon)
    assert {names[id(p)].split(".", 3)[3] for p in muon.param_groups[0]["params"]} == {
        "attention.query_key_value.weight",
        "attention.dense.weight",
        "mlp.dense_h_to_4h.weight",
        "mlp.dense_4h_to_h.weight",
    }


@pytest.mark.parametrize("shape", [(8, 8), (24, 8), (8, 32)])
def test_orthogonal_keeps_the_directions_and_evens_out_their_sizes(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    sizes = left.mT @ orthogonal(matrices) @ right.mT
    diagonal = sizes.diagonal(dim1=1, dim2=2)
    assert (sizes - torch.diag_embed(diagonal)).abs().max() < 1e-3
    assert diagonal.min() > 0.6
    assert diagonal.max() < 1.25
    one = orthogonal(matrices[1:2])
    torch.testing.assert_close(orthogonal(matrices)[1:2], one, rtol=1e-5, atol=1e-6)


def test_muon_steps_as_the_one_of_torch_does() -> None:
    """Which computes in bfloat16, hence the tolerance of each step's update."""
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator) for shape in [(8, 24), (24, 8), (24, 8)]]
    ours, theirs = ([torch.nn.Parameter(w.clone()) for w in start] for _ in range(2))
    own = Muon(ours, lr=0.1, weight_decay=0.2)
    peer = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.2, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        own.step()
        peer.step()
    for a, b, w in zip(ours, theirs, start, strict=True):
        assert (a - b).norm() < 0.01 * (a - w).norm()


def test_update_clips_steps_and_forgets_the_gradients() -> None:
    trained = model()
    optimizers = OPTIMIZERS["muon"](trained, TrainingParameters())
    before = {n: p.detach().clone() for n, p in trained.named_parameters()}
    trained.loss(torch.randint(100, (2, 10), generator=torch.Generator().manual_seed(0))).backward()
    gradient = torch.cat([p.grad.flatten() for p in trained.parameters()])
    norm = update(trained, optimizers, 1e-2, clip=1e-3)
    torch.testing.assert_close(norm, gradient.norm())
    assert all(p.grad is None for p in trained.parameters())
    matrix = "gpt_neox.layers.0.mlp.dense_h_to_4h.weight"
    moved = dict(trained.named_parameters())[matrix].detach() - before[matrix]
    sizes = torch.linalg.svdvals(moved) / (1e-2 * 0.2 * 64**0.5)
    # The last direction has no gradient: what comes out of a layer norm sums to zero.
    assert sizes[-1] < 1e-3
    assert sizes[-2] > 0.5
    assert sizes[0] < 1.25


def test_a_parameter_group_has_a_learning_rate_of_its_own() -> None:
    weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(3)]
    groups: list[dict[str, Any]] = [{"params": [weight]} for weight in weights]
    groups[1]["lr_scale"] = 0.25
    optimizers: list[Optimizer] = [SGD(groups[:2]), SGD(groups[2:])]
    module = torch.nn.ParameterList(weights)
    for weight in weights:
        weight.grad = torch.ones(2)
    update(module, optimizers, 0.5, clip=100.0)
    assert [weight[0].item() for weight in weights] == [-0.5, -0.125, -0.5]
