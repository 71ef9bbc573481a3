"""What a model gets that says how it computes hidden states and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from ergokedro.models.architecture import ModuleArchitecture
from ergokedro.models.causal_lm import CausalLM
from ergokedro.parameters import ModelParameters


class TwoLayers(CausalLM):
    """Each token alone predicts the next one."""

    def __init__(self, config: dict[str, Any]):
        super().__init__(config)
        self.embedding = nn.Embedding(config["vocab_size"], 6)
        self.first, self.norm = nn.Linear(6, 8), nn.LayerNorm(8)
        self.second = nn.Linear(8, 6)
        self.output = nn.Linear(6, config["vocab_size"], bias=False)
        if config.get("tied"):
            self.output.weight = self.embedding.weight

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.second(self.norm(self.first(self.embedding(tokens))).relu())
        return states

    @property
    def output_weight(self) -> torch.Tensor:
        return self.output.weight


def test_losses_are_those_of_the_logits() -> None:
    torch.manual_seed(0)
    model = TwoLayers({"vocab_size": 11})
    windows = torch.randint(11, (3, 7))
    logits = model.hidden(windows[:, :-1]) @ model.output_weight.T
    expected = functional.cross_entropy(logits.mT, windows[:, 1:], reduction="none")
    torch.testing.assert_close(model.nll(windows), expected)
    assert not model.nll(windows).requires_grad
    loss = model.loss(windows)
    torch.testing.assert_close(loss, expected.mean())
    loss.backward()
    own = [weight.grad for weight in model.parameters()]
    model.zero_grad()
    expected.mean().backward()
    for grad, weight in zip(own, model.parameters(), strict=True):
        torch.testing.assert_close(grad, weight.grad)


@pytest.mark.parametrize("tied", [False, True])
def test_matrices_come_from_the_kinds_of_modules(tied: bool) -> None:
    model = TwoLayers({"vocab_size": 11, "tied": tied})
    matrices = model.hidden_matrices()
    assert [id(w) for w in matrices] == [id(model.first.weight), id(model.second.weight)]
    assert model.multiplied_weights == 6 * 8 + 8 * 6 + 6 * 11


def test_a_model_without_hidden_states_says_what_it_lacks() -> None:
    with pytest.raises(NotImplementedError, match="CausalLM needs hidden and output_weight, or"):
        CausalLM({}).loss(torch.zeros(1, 3, dtype=torch.int64))


def test_the_configuration_has_the_settings_and_the_fields_of_ones_own() -> None:
    params = ModelParameters(hidden_size=64, num_layers=2, config={"tied": True})
    architecture = ModuleArchitecture(TwoLayers)
    config = architecture.config(params, 128)
    assert config == {"hidden_size": 64, "num_layers": 2, "tied": True, "vocab_size": 128}
    model: Any = architecture.build(config)
    assert model.output.weight is model.embedding.weight
    assert model.config == config
