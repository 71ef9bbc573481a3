"""GPT-NeoX models from random weights: built-in configurations, seeded weights, saving.

The sizes are Pythia's (Biderman et al. 2023, arXiv 2304.01373) and a smaller one for the embedded
corpus; no hub is needed for any of them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_directory, canonical_json
from ergokedro.models.gpt_neox import GPTNeoX, GPTNeoXConfig
from ergokedro.models.presets import PRESETS
from ergokedro.parameters import ModelParameters

# Names in the parameters and in transformers' configuration.
_OVERRIDES = {
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "rotary_pct": "rotary_pct",
    "parallel_residual": "use_parallel_residual",
    "initializer_range": "initializer_range",
}
# What this architecture has no settings for, in transformers' configuration.
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
# Those of them that change the function.
_DECISIVE = {"attention_bias", "hidden_act", "model_type", "tie_word_embeddings"}
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
# Pythia pads 50,277 tokens to 50,304: matrix products like multiples of 128.
_VOCABULARY_MULTIPLE = 128


def model_config(params: ModelParameters, vocab_size: int) -> GPTNeoXConfig:
    """The shape of a preset with its overrides.

    Parameters
    ----------
    vocab_size : ids that the tokenizer gives; padded up to a multiple of 128.

    Raises
    ------
    ErgokedroError
        If the settings do not fit together.
    """
    settings = dict(PRESETS[params.preset])
    for ours, theirs in _OVERRIDES.items():
        if (value := getattr(params, ours)) is not None:
            settings[theirs] = value
    settings.setdefault("intermediate_size", 4 * settings["hidden_size"])
    _check_heads(settings)
    padded = -(-vocab_size // _VOCABULARY_MULTIPLE) * _VOCABULARY_MULTIPLE
    return GPTNeoXConfig(vocab_size=padded, **settings)


def _check_heads(settings: dict[str, Any]) -> None:
    width, heads = settings["hidden_size"], settings["num_attention_heads"]
    if width % heads:
        raise ErgokedroError(
            f"model.hidden_size = {width} is not a multiple of model.num_heads = {heads}."
        )
    rotary = int(width // heads * settings["rotary_pct"])
    if rotary % 2 or rotary == 0:
        raise ErgokedroError(
            f"model.rotary_pct = {settings['rotary_pct']} turns {rotary} of the {width // heads} "
            "dimensions of a head; it must be an even number above 0."
        )


def build_model(config: GPTNeoXConfig, seed: int) -> GPTNeoX:
    """A model whose weights depend on `config` and `seed` alone; torch's own seed is untouched."""
    with torch.device("meta"):  # without the weights that torch would draw only to be replaced
        model = GPTNeoX(config)
    model = model.to_empty(device="cpu")
    model.initialize(torch.Generator().manual_seed(seed))
    return model


def n_parameters(model: torch.nn.Module) -> int:
    """Number of trainable weights, embeddings included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def weights_fingerprint(model: torch.nn.Module) -> str:
    """SHA-256 of all weights, with their names, in the order of the state dictionary."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_model(path: Path, model: GPTNeoX) -> None:
    """Write a directory that transformers loads: config.json and safetensors."""
    with atomic_directory(Path(path)) as work:
        save_pretrained(work, model)


def save_pretrained(directory: Path, model: GPTNeoX) -> None:
    """Write transformers' files into a directory."""
    (directory / _CONFIG).write_bytes(canonical_json(transformers_config(model.config)))
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, directory / _WEIGHTS, metadata={"format": "pt"})


def load_model(path: Path) -> GPTNeoX:
    """Read a directory of transformers' files, such as :func:`save_model` or a Pythia hub copy.

    Raises
    ------
    ErgokedroError
        If there is none, or it holds no GPT-NeoX of this kind.
    """
    try:
        config = _read_config(json.loads((Path(path) / _CONFIG).read_bytes()))
        weights = load_file(Path(path) / _WEIGHTS)
        names = {"embed_out.weight": "lm_head.weight"}  # before transformers 5
        weights = {names.get(name, name): weights[name] for name in weights}
        with torch.device("meta"):
            model = GPTNeoX(config)
        wanted = model.state_dict()
        # Copies on the hub hold masks and frequencies, too, which are no weights.
        model.load_state_dict({n: weights[n].float() for n in wanted}, strict=True, assign=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ErgokedroError(
            f"{path} holds no model ({error}); run `kedro run --pipelines training`."
        ) from error
    model.gpt_neox.reset_rotary()
    return model


def transformers_config(config: GPTNeoXConfig) -> dict[str, Any]:
    """`config.json` as transformers' GPTNeoXConfig reads it."""
    own = {field.name: getattr(config, field.name) for field in fields(config)}
    rope = {
        "rope_type": "default",
        "rope_theta": own.pop("rotary_emb_base"),
        "partial_rotary_factor": own.pop("rotary_pct"),
    }
    return {
        **own,
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "rope_parameters": rope,
        "dtype": "float32",
        **_FIXED,
    }


def _read_config(raw: dict[str, Any]) -> GPTNeoXConfig:
    """The other way round; also of `config.json` files from before transformers 5.

    Raises
    ------
    ValueError
        If the file describes what this model is not.
    """
    rope = raw.get("rope_parameters") or {}
    own = {field.name: raw[field.name] for field in fields(GPTNeoXConfig) if field.name in raw}
    own["rotary_pct"] = rope.get("partial_rotary_factor", raw.get("rotary_pct", 0.25))
    own["rotary_emb_base"] = rope.get("rope_theta", raw.get("rotary_emb_base", 10_000))
    other = [
        f"{key} = {raw[key]!r}"
        for key, value in {**_FIXED, "model_type": "gpt_neox"}.items()
        if key in _DECISIVE and raw.get(key, value) != value
    ]
    if other or rope.get("rope_type", "default") != "default":
        raise ValueError(f"not supported: {', '.join(other) or rope}")
    return GPTNeoXConfig(**own)
