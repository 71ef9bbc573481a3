"""The interface of language models: all that the rest of the package uses of one."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from ergokedro.models.cross_entropy import linear_cross_entropy, token_cross_entropy


class CausalLM(nn.Module):
    """The base class of causal language models.

    A subclass defines :meth:`hidden` and :attr:`output_weight`; everything else has a default. A
    model whose logits are not hidden states times weights overrides `loss` and `nll` instead.

    Gradients, weights and devices are handled through `nn.Module`. `loss` and `nll` must be
    functions of the weights and the windows alone: without dropout or other random numbers, whose
    state no checkpoint holds.

    Parameters
    ----------
    config : content of the model's config.json, JSON-able; `config["model_type"]` is the name of
        its architecture in :data:`ergokedro.models.factory.MODELS`.

    Attributes
    ----------
    matrix_modules : kinds of modules whose weights are matrices that multiply hidden states.
    """

    matrix_modules: tuple[type[nn.Module], ...] = (nn.Linear,)

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.config = config

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """Last hidden states, (b, t, width), of int64 (b, t); each sees no later token."""
        raise NotImplementedError(
            f"{type(self).__name__} needs hidden and output_weight, or else loss and nll"
        )

    @property
    def output_weight(self) -> torch.Tensor | None:
        """Weights of the output layer, (vocab_size, width): logits are hidden states times them.

        None if the model overrides `loss` and `nll`.
        """
        return None

    def loss(self, windows: torch.Tensor) -> torch.Tensor:
        """Mean NLL of tokens 2..W of int64 (b, W) windows: a differentiable scalar, nats."""
        hidden = self.hidden(windows[:, :-1]).flatten(0, 1)
        weight = cast(torch.Tensor, self.output_weight)
        return linear_cross_entropy(hidden, weight, windows[:, 1:].flatten())

    @torch.no_grad()
    def nll(self, windows: torch.Tensor) -> torch.Tensor:
        """NLL of tokens 2..W of int64 (b, W) windows: float32 (b, W - 1), nats; no gradient."""
        hidden = self.hidden(windows[:, :-1]).flatten(0, 1)
        weight = cast(torch.Tensor, self.output_weight)
        nll = token_cross_entropy(hidden, weight, windows[:, 1:].flatten())
        return nll.view(len(windows), -1)

    @property
    def multiplied_weights(self) -> int:
        """Weights in matrix products per token; a training step takes six operations for each.

        Embedding lookups do not count, the output layer does.
        """
        lookups = {id(weight) for weight in self._weights_of(nn.Embedding)}
        weights = [w for w in self.parameters() if w.ndim >= 2 and id(w) not in lookups]
        total = sum(round(w.numel() * self.active_share(w)) for w in weights)
        output = self.output_weight
        return total + (output.numel() if output is not None and id(output) in lookups else 0)

    def active_share(self, weight: torch.Tensor) -> float:
        """Share of a weight that one token is multiplied with: less than 1 for experts."""
        return 1.0

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The matrices between embedding and output layer, in a fixed order.

        By default the weights of :attr:`matrix_modules`, without those that the output layer or an
        embedding has. Muon makes their updates orthogonal; an empty list leaves all weights to
        AdamW.
        """
        excluded = {id(weight) for weight in [*self._weights_of(nn.Embedding), self.output_weight]}
        matrices = {id(weight): weight for weight in self._weights_of(*self.matrix_modules)}
        return [weight for key, weight in matrices.items() if key not in excluded]

    def _weights_of(self, *kinds: type[nn.Module]) -> list[nn.Parameter]:
        """The weights, without biases, of all modules of these classes, in their order."""
        modules: Any = (module for module in self.modules() if isinstance(module, kinds))
        return [module.weight for module in modules]
