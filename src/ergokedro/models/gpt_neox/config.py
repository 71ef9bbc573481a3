"""The shape of a GPT-NeoX model: from settings, and from and to transformers' config.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from ergokedro.errors import ErgokedroError
from ergokedro.parameters import ModelParameters

# What this implementation has no settings for, as transformers' configuration has it.
_FIXED: dict[str, Any] = {
    "attention_bias": True,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "classifier_dropout": 0.0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_dropout": 0.0,
    "tie_word_embeddings": False,
    "use_cache": False,
}
# Those of them that change the function that the model computes.
_DECISIVE = ("attention_bias", "hidden_act", "tie_word_embeddings")


@dataclass(frozen=True)
class GPTNeoXConfig:
    """The shape of a model; field names are transformers', default values are Pythia's."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    rotary_pct: float = 0.25
    use_parallel_residual: bool = True
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    max_position_embeddings: int = 2048
    rotary_emb_base: float = 10_000.0

    @property
    def rotary_dimensions(self) -> int:
        """Dimensions of a head that the rotary embedding rotates."""
        return int(self.hidden_size // self.num_attention_heads * self.rotary_pct)

    @property
    def multiplied_weights(self) -> int:
        """Weights in matrix products per token."""
        width, inner = self.hidden_size, self.intermediate_size
        layer = 4 * width**2 + 2 * width * inner
        return self.num_hidden_layers * layer + self.vocab_size * width


def config_from_settings(params: ModelParameters, vocab_size: int) -> GPTNeoXConfig:
    """The shape that the settings `model.*` ask for, those of the preset filled in.

    Raises
    ------
    ErgokedroError
        If a size is missing, or the settings do not fit together.
    """
    for name in ("hidden_size", "num_layers", "num_heads"):
        if getattr(params, name) is None:
            raise ErgokedroError(f"model.{name} is given neither itself nor by model.preset.")
    values = {
        "hidden_size": params.hidden_size,
        "num_hidden_layers": params.num_layers,
        "num_attention_heads": params.num_heads,
        "intermediate_size": params.intermediate_size or 4 * cast(int, params.hidden_size),
        "rotary_pct": params.rotary_pct,
        "use_parallel_residual": params.parallel_residual,
        "initializer_range": params.initializer_range,
    }
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    config = GPTNeoXConfig(vocab_size=vocab_size, **given)
    _check_heads(config)
    return config


def _check_heads(config: GPTNeoXConfig) -> None:
    width, heads = config.hidden_size, config.num_attention_heads
    if width % heads:
        raise ErgokedroError(
            f"model.hidden_size = {width} is not a multiple of model.num_heads = {heads}."
        )
    rotary = config.rotary_dimensions
    if rotary % 2 or rotary == 0:
        raise ErgokedroError(
            f"model.rotary_pct = {config.rotary_pct} rotates {rotary} of the {width // heads} "
            "dimensions of a head; it must be an even number above 0."
        )


def to_transformers(config: GPTNeoXConfig) -> dict[str, Any]:
    """`config.json` as transformers' GPTNeoXConfig reads it."""
    values = asdict(config)
    rope = {
        "rope_type": "default",
        "rope_theta": values.pop("rotary_emb_base"),
        "partial_rotary_factor": values.pop("rotary_pct"),
    }
    return {
        **values,
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "rope_parameters": rope,
        "dtype": "float32",
        **_FIXED,
    }


def from_transformers(raw: dict[str, Any]) -> GPTNeoXConfig:
    """The inverse of :func:`to_transformers`; also reads files from before transformers 5.

    Raises
    ------
    ValueError
        If the file describes a variant that this implementation does not have.
    """
    rope = raw.get("rope_parameters") or {}
    values = {field.name: raw[field.name] for field in fields(GPTNeoXConfig) if field.name in raw}
    values["rotary_pct"] = rope.get("partial_rotary_factor", raw.get("rotary_pct", 0.25))
    values["rotary_emb_base"] = rope.get("rope_theta", raw.get("rotary_emb_base", 10_000))
    other = [
        f"{key} = {raw[key]!r}" for key in _DECISIVE if raw.get(key, _FIXED[key]) != _FIXED[key]
    ]
    if other or rope.get("rope_type", "default") != "default":
        raise ValueError(f"not supported: {', '.join(other) or rope}")
    return GPTNeoXConfig(**values)
