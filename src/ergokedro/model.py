"""GPT-NeoX models from random weights: built-in configurations, seeded weights, saving.

The sizes are Pythia's (Biderman et al. 2023, arXiv 2304.01373) and a smaller one for the embedded
corpus; no hub is needed for any of them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_directory
from ergokedro.parameters import ModelParameters

_PYTHIA = {"rotary_pct": 0.25, "use_parallel_residual": True, "initializer_range": 0.02}
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "rotary_pct": 1.0,
        "use_parallel_residual": False,
        "initializer_range": 0.04,
    },
    "pythia-14m": {
        "hidden_size": 128,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        **_PYTHIA,
    },
    "pythia-31m": {
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        **_PYTHIA,
    },
    "pythia-70m": {
        "hidden_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        **_PYTHIA,
    },
    "pythia-160m": {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        **_PYTHIA,
    },
}
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
# Pythia pads 50,277 tokens to 50,304: matrix products like multiples of 128.
_VOCABULARY_MULTIPLE = 128


def model_config(params: ModelParameters, vocab_size: int) -> Any:
    """The `transformers.GPTNeoXConfig` of a preset with its overrides.

    Parameters
    ----------
    vocab_size : ids that the tokenizer gives; padded up to a multiple of 128.

    Raises
    ------
    ErgokedroError
        If the settings do not fit together.
    """
    from transformers import GPTNeoXConfig

    settings = dict(PRESETS[params.preset])
    for ours, theirs in _OVERRIDES.items():
        if (value := getattr(params, ours)) is not None:
            settings[theirs] = value
    settings.setdefault("intermediate_size", 4 * settings["hidden_size"])
    _check_heads(settings)
    rotary_pct = settings.pop("rotary_pct")
    padded = -(-vocab_size // _VOCABULARY_MULTIPLE) * _VOCABULARY_MULTIPLE
    config = GPTNeoXConfig(
        **settings,
        vocab_size=padded,
        max_position_embeddings=2048,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "partial_rotary_factor": rotary_pct,
        },
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        attention_dropout=0.0,
        hidden_dropout=0.0,
        classifier_dropout=0.0,
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    config._attn_implementation = _causal_attention()
    return config


def _causal_attention() -> str:
    """Name under which transformers' SDPA attention runs without making masks.

    Under its own name, every forward pass asks the device whether windows are packed, and waits
    for the answer. Without a mask the attention is causal, which is what whole windows need.
    """
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register("causal_sdpa", sdpa_attention_forward)
    return "causal_sdpa"


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


def build_model(config: Any, seed: int) -> torch.nn.Module:
    """A model whose weights depend on `config` and `seed` alone; torch's own seed is untouched."""
    from transformers import GPTNeoXForCausalLM

    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the accelerators, which fork_rng leaves out here.
        torch.default_generator.manual_seed(seed)
        model: torch.nn.Module = GPTNeoXForCausalLM(config)
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


def save_model(path: Path, model: Any) -> None:
    """Write a directory that `transformers` loads: config.json and safetensors."""
    _no_transformers_bars()
    with atomic_directory(Path(path)) as work:
        model.save_pretrained(work)


def load_model(path: Path) -> torch.nn.Module:
    """Read a directory that :func:`save_model` wrote.

    Raises
    ------
    ErgokedroError
        If there is none.
    """
    from transformers import GPTNeoXForCausalLM

    _no_transformers_bars()
    try:
        model: torch.nn.Module = GPTNeoXForCausalLM.from_pretrained(
            path, attn_implementation=_causal_attention(), local_files_only=True
        )
    except OSError as error:
        raise ErgokedroError(
            f"{path} holds no model ({error}); run `kedro run --pipelines training`."
        ) from error
    return model


def _no_transformers_bars() -> None:
    """Its progress bars for reading and writing a single file would tear the log."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def check_weights(model: torch.nn.Module, summary: dict[str, Any], manifest: str) -> None:
    """Refuse a model that is not the one that `summary` describes, or is of another manifest.

    Raises
    ------
    ErgokedroError
        With the command that trains it anew.
    """
    same = weights_fingerprint(model) == summary["final_weights"]
    if not same or summary["manifest"] != manifest:
        raise ErgokedroError(
            f"The saved model of {summary['run']} was trained on another manifest or was changed. "
            f"Run `kedro run --pipelines training --params k={summary['k']}` to train it anew."
        )
