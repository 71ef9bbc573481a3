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
from ergokedro.models.cross_entropy import linear_cross_entropy, token_cross_entropy

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
    def output_weight(self) -> torch.Tensor:
        """Weights of the output layer, (vocab_size, width)."""
        layer: Any = self.output_layer
        weight: torch.Tensor = layer.weight
        return weight

    def loss(self, windows: torch.Tensor) -> torch.Tensor:
        """Mean NLL of tokens 2..W of int64 (b, W) windows, a scalar in nats, differentiable.

        Raises
        ------
        ErgokedroError
            If windows are longer than the model's positions.
        """
        self._check_length(windows.shape[1])
        inputs, targets = windows[:, :-1], windows[:, 1:].flatten()
        if self.fused:
            hidden = self.hidden(inputs).flatten(0, 1)
            return linear_cross_entropy(hidden, self.output_weight, targets)
        return functional.cross_entropy(self(inputs).flatten(0, 1).float(), targets)

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
            hidden = self.hidden(windows[:, :-1]).flatten(0, 1)
            targets = windows[:, 1:].flatten()
            return token_cross_entropy(hidden, self.output_weight, targets).view(len(windows), -1)
        rows = max(1, _LOGITS // (windows.shape[1] * self.config["vocab_size"]))
        return torch.cat([self._nll_from_logits(part) for part in windows.split(rows)])

    def _nll_from_logits(self, windows: torch.Tensor) -> torch.Tensor:
        logits = self(windows[:, :-1]).float()
        return functional.cross_entropy(logits.mT, windows[:, 1:], reduction="none")

    @property
    def multiplied_weights(self) -> int:
        """Weights in matrix products and convolutions per token.

        Of tensors with one slice per expert, the share of the experts that a token is sent to.
        """
        lookups = {id(weight) for weight in self._embeddings()}
        weights = [w for w in self.parameters() if w.ndim >= 2 and id(w) not in lookups]
        total = sum(round(w.numel() * self._active_share(w)) for w in weights)
        tied = self.output_layer is not None and id(self.output_weight) in lookups
        return total + (self.output_weight.numel() if tied else 0)

    def _active_share(self, weight: torch.Tensor) -> float:
        """Share of the weight's slices that a token is multiplied with: experts, or all."""
        fields = self.model.config
        experts = getattr(fields, "num_local_experts", None) or getattr(fields, "num_experts", None)
        active = getattr(fields, "num_experts_per_tok", None)
        if experts and active and weight.ndim == 3 and len(weight) == experts:
            return float(active / experts)
        return 1.0

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The weights of linear layers, in the order of the modules.

        Without those of the output layer, and without weights that an embedding shares.
        """
        excluded = {id(weight) for weight in self._embeddings()}
        if self.output_layer is not None:
            excluded.add(id(self.output_weight))
        matrices = {id(weight): weight for weight in self._weights_of(nn.Linear, Conv1D)}
        return [weight for key, weight in matrices.items() if key not in excluded]

    def _embeddings(self) -> list[nn.Parameter]:
        return self._weights_of(nn.Embedding)

    def _weights_of(self, *kinds: type[nn.Module]) -> list[nn.Parameter]:
        """The weights, without biases, of all modules of these classes."""
        modules: Any = (m for m in self.model.modules() if isinstance(m, kinds))
        return [module.weight for module in modules]
