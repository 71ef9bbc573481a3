"""A plugin: a model, an optimizer and a learning-rate schedule of one's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ergokedro.models.architecture import Architecture
from ergokedro.models.causal_lm import CausalLM
from ergokedro.models.factory import MODELS
from ergokedro.parameters import ModelParameters, TrainingParameters
from ergokedro.training.lr_schedule import SCHEDULES
from ergokedro.training.optimizers import OPTIMIZERS, muon


class Bigram(CausalLM):
    """Predicts a token from the one before; embedding and output layer are tied."""

    def __init__(self, config: dict[str, Any]):
        super().__init__(config)
        width = config["width"]
        self.embedding = nn.Embedding(config["vocab_size"], width)
        self.mix = nn.Linear(width, width)
        self.output = nn.Linear(width, config["vocab_size"], bias=False)
        self.output.weight = self.embedding.weight

    def _nll(self, windows: torch.Tensor) -> torch.Tensor:
        logits = self.output(self.mix(self.embedding(windows[:, :-1])))
        return functional.cross_entropy(logits.mT, windows[:, 1:], reduction="none")

    def loss(self, windows: torch.Tensor) -> torch.Tensor:
        return self._nll(windows).mean()

    def nll(self, windows: torch.Tensor) -> torch.Tensor:
        return self._nll(windows)

    @property
    def multiplied_weights(self) -> int:
        return self.mix.weight.numel() + self.output.weight.numel()

    def hidden_matrices(self) -> list[nn.Parameter]:
        return [weight for weight in self.mix.parameters() if weight.ndim == 2]


class BigramArchitecture(Architecture):
    """Its only setting is the width."""

    def config(self, params: ModelParameters, vocab_size: int) -> dict[str, Any]:
        return {"vocab_size": vocab_size, "width": params.hidden_size}

    def build(self, config: dict[str, Any]) -> Bigram:
        return Bigram(config)


class Averaging(torch.optim.Optimizer):
    """Steps along the mean of all gradients so far; counts them per weight and per group."""

    def __init__(self, groups: list[dict[str, Any]]):
        super().__init__(groups, {"lr": 0.0, "count": 0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["count"] += 1
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state.update(count=0, total=torch.zeros_like(weight))
                state["count"] += 1
                state["total"] += weight.grad
                assert state["count"] == group["count"]
                weight -= group["lr"] * state["total"] / state["count"]


@OPTIMIZERS.add("toy_averaging")
def averaging(model: CausalLM, params: TrainingParameters) -> list[torch.optim.Optimizer]:
    """Hidden matrices step at half the rate of the other weights."""
    matrices = model.hidden_matrices()
    hidden = {id(matrix) for matrix in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in hidden]
    return [Averaging([{"params": matrices, "lr_scale": 0.5}, {"params": others}])]


@SCHEDULES.add("toy_linear")
def linear(step: int, steps: int, params: TrainingParameters) -> float:
    return 1 - step / steps


MODELS.register("toy_bigram", BigramArchitecture())
OPTIMIZERS.register("toy_muon", muon)
