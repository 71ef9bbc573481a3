"""A causal language model of transformers, behind the interface of `CausalLM`."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ergokedro.errors import ErgokedroError
from ergokedro.models.causal_lm import CausalLM

# Logits in evaluation: 64 MiB of float32 at a time, at least those of one window.
_LOGITS = 2**24


class TransformersModel(CausalLM):
    """A model of transformers, always in evaluation mode: without dropout.

    Parameters
    ----------
    config : content of transformers' config.json.
    model : of a class in `AutoModelForCausalLM`'s table.

    Attributes
    ----------
    fused : whether the loss may be computed from :meth:`hidden` and the output weights without
        holding the logits; see :func:`ergokedro.models.transformers_models.checks.check_model`.
    """

    matrix_modules = (nn.Linear, Conv1D)

    def __init__(self, config: dict[str, Any], model: PreTrainedModel):
        super().__init__(config)
        self.model = model.eval()
        self.fused = False

    def train(self, mode: bool = True) -> Self:
        """Only the name of the mode changes: the model itself stays in evaluation mode."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (b, t, vocab_size) of the token after each of int64 (b, t)."""
        logits: torch.Tensor = self.model(input_ids=tokens).logits
        return logits

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """Last hidden states (b, t, width) of int64 (b, t), normalised if the model does so."""
        states: torch.Tensor = self.model.base_model(input_ids=tokens)[0]
        return states

    @property
    def output_layer(self) -> nn.Module | None:
        """The layer that gives the logits, if the model names one."""
        return self.model.get_output_embeddings()

    @property
    def output_weight(self) -> torch.Tensor | None:
        """Weights of the output layer, (vocab_size, width), if the model names one."""
        weight: torch.Tensor | None = getattr(self.output_layer, "weight", None)
        return weight

    def loss(self, windows: torch.Tensor) -> torch.Tensor:
        """Mean NLL of tokens 2..W of int64 (b, W) windows, a scalar in nats, differentiable.

        Raises
        ------
        ErgokedroError
            If windows are longer than the model's positions.
        """
        self._check_length(windows.shape[1])
        if self.fused:
            return super().loss(windows)
        logits = self(windows[:, :-1]).flatten(0, 1).float()
        return functional.cross_entropy(logits, windows[:, 1:].flatten())

    def _check_length(self, length: int) -> None:
        positions = getattr(self.model.config, "max_position_embeddings", None) or length
        if length > positions:
            raise ErgokedroError(
                f"mixture.window_length = {length} is more than the {positions} positions of the "
                "model; shorten the windows, or set model.config.max_position_embeddings."
            )

    @torch.no_grad()
    def nll(self, windows: torch.Tensor) -> torch.Tensor:
        """NLL of tokens 2..W of int64 (b, W) windows: float32 (b, W - 1), nats, no gradient."""
        self._check_length(windows.shape[1])
        if self.fused:
            return super().nll(windows)
        rows = max(1, _LOGITS // (windows.shape[1] * self.config["vocab_size"]))
        return torch.cat([self._nll_from_logits(part) for part in windows.split(rows)])

    def _nll_from_logits(self, windows: torch.Tensor) -> torch.Tensor:
        logits = self(windows[:, :-1]).float()
        return functional.cross_entropy(logits.mT, windows[:, 1:], reduction="none")

    def active_share(self, weight: torch.Tensor) -> float:
        """Of a tensor with one slice per expert, the share of those that a token is sent to."""
        fields = self.model.config
        experts = getattr(fields, "num_local_experts", None) or getattr(fields, "num_experts", None)
        active = getattr(fields, "num_experts_per_tok", None)
        if experts and active and weight.ndim == 3 and len(weight) == experts:
            return float(active / experts)
        return 1.0
