"""GPT-NeoX in plain PyTorch: the same function of the same weights as transformers' model.

The architecture is that of Black et al. 2022 (arXiv 2204.06745), as Pythia uses it; the rotary
embedding that of Su et al. 2021 (arXiv 2104.09864). Names of weights are transformers'.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ergokedro.models.causal_lm import CausalLM
from ergokedro.models.gpt_neox.config import GPTNeoXConfig, from_transformers


class GPTNeoX(CausalLM):
    """A causal language model with untied embeddings.

    Parameters
    ----------
    config : content of transformers' config.json.

    Raises
    ------
    ValueError
        If it describes a variant that is not implemented.
    """

    def __init__(self, config: dict[str, Any]):
        super().__init__(config)
        self.shape = from_transformers(config)
        self.gpt_neox = _Decoder(self.shape)
        self.lm_head = nn.Linear(self.shape.hidden_size, self.shape.vocab_size, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (b, t, vocab_size) of the token after each of int64 (b, t)."""
        return self.lm_head(self.gpt_neox(tokens))

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """Normalised last hidden states (b, t, width) of int64 (b, t)."""
        states: torch.Tensor = self.gpt_neox(tokens)
        return states

    @property
    def output_weight(self) -> torch.Tensor:
        """Weights of the output layer, (vocab_size, width)."""
        return self.lm_head.weight

    @property
    def multiplied_weights(self) -> int:
        """Weights in matrix products per token."""
        return self.shape.multiplied_weights

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The matrices of attention and MLP of all layers, by name."""
        weights = sorted(self.gpt_neox.layers.named_parameters())
        return [weight for _, weight in weights if weight.ndim == 2]

    def initialize(self) -> None:
        """Normal weights with the configured standard deviation, zero biases, unit layer norms.

        Random numbers come from torch's default generator.
        """
        self.reset_rotary()
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim >= 2:
                    parameter.normal_(std=self.shape.initializer_range)
                else:
                    parameter.fill_(float("norm" in name and name.endswith("weight")))

    def reset_rotary(self) -> None:
        """Compute the rotary table, which is not a weight and is not saved."""
        self.gpt_neox.reset_rotary()


class _Decoder(nn.Module):
    """Tokens to normalised last hidden states."""

    def __init__(self, config: GPTNeoXConfig):
        super().__init__()
        self.embed_in = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.config = config
        self.register_buffer("cos", None, persistent=False)
        self.register_buffer("sin", None, persistent=False)
        self.reset_rotary()

    def reset_rotary(self) -> None:
        """Compute cosines and sines of all positions."""
        self.cos, self.sin = rotary_table(self.config)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        hidden = self.embed_in(tokens)
        for layer in self.layers:
            hidden = layer(hidden, cos, sin)
        return self.final_layer_norm(hidden)


class _Layer(nn.Module):
    def __init__(self, config: GPTNeoXConfig):
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.parallel = config.use_parallel_residual
        self.input_layernorm = nn.LayerNorm(width, eps=eps)
        self.post_attention_layernorm = nn.LayerNorm(width, eps=eps)
        self.attention = _Attention(config)
        self.mlp = _MLP(config)

    def forward(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        attended = hidden + self.attention(self.input_layernorm(hidden), cos, sin)
        mlp_input = hidden if self.parallel else attended
        return attended + self.mlp(self.post_attention_layernorm(mlp_input))


class _Attention(nn.Module):
    def __init__(self, config: GPTNeoXConfig):
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.rotary = config.rotary_dimensions
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)

    def forward(self, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        b, t, width = hidden.shape
        # A head's query, key and value are adjacent: (b, t, heads, 3, width of a head). Gradients
        # of split and unbind are joined in one copy; those of indexing would start as zeros.
        query_key, value = (
            self.query_key_value(hidden).view(b, t, self.heads, 3, -1).split((2, 1), dim=3)
        )
        query, key = self._rotate(query_key, cos, sin).transpose(1, 2).unbind(dim=3)
        value = value.squeeze(dim=3).transpose(1, 2)
        out = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.dense(out.transpose(1, 2).reshape(b, t, width))

    def _rotate(self, joint: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Rotate the first dimensions of queries and keys by their position."""
        first = joint[..., : self.rotary]
        low, high = first.chunk(2, dim=-1)
        # `sin` carries the sign of the half that it is multiplied with.
        rotated = first * cos + torch.cat((high, low), dim=-1) * sin
        if self.rotary == joint.shape[-1]:
            return rotated.to(joint.dtype)
        return torch.cat((rotated.to(joint.dtype), joint[..., self.rotary :]), dim=-1)


class _MLP(nn.Module):
    def __init__(self, config: GPTNeoXConfig):
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden_size, config.intermediate_size)
        self.dense_4h_to_h = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.dense_4h_to_h(functional.gelu(self.dense_h_to_4h(hidden)))


def rotary_table(config: GPTNeoXConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and signed sines of every position: float32 (positions, 1, 1, rotary dimensions)."""
    n = config.rotary_dimensions
    frequency = 1.0 / config.rotary_emb_base ** (torch.arange(0, n, 2, dtype=torch.float32) / n)
    angle = torch.arange(config.max_position_embeddings, dtype=torch.float32)[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return (
        torch.cat((cos, cos), dim=-1)[:, None, None],
        torch.cat((-sin, sin), dim=-1)[:, None, None],
    )
