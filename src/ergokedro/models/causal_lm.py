"""What the rest of the package uses of a language model, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn


class CausalLM(nn.Module, ABC):
    """A causal language model: what trainer, evaluator, cost estimate and datasets use of one.

    Gradients, weights and devices are handled through `nn.Module`. `loss` and `nll` must be
    functions of the weights and the windows alone: without dropout or other random numbers, whose
    state no checkpoint holds.

    Parameters
    ----------
    config : content of the model's config.json, JSON-able; `config["model_type"]` is the name of
        its architecture in :data:`ergokedro.models.factory.MODELS`.
    """

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config

    @abstractmethod
    def loss(self, windows: torch.Tensor) -> torch.Tensor:
        """Mean NLL of tokens 2..W of int64 (b, W) windows: a differentiable scalar, nats."""

    @abstractmethod
    def nll(self, windows: torch.Tensor) -> torch.Tensor:
        """NLL of tokens 2..W of int64 (b, W) windows: float32 (b, W - 1), nats; no gradient."""

    @property
    @abstractmethod
    def multiplied_weights(self) -> int:
        """Weights in matrix products per token; a training step takes six operations for each.

        Embedding lookups do not count, the output layer does.
        """

    @abstractmethod
    def hidden_matrices(self) -> list[nn.Parameter]:
        """The two-dimensional weights between embedding and output layer, in a fixed order.

        Muon makes their updates orthogonal; an empty list leaves all weights to AdamW.
        """
