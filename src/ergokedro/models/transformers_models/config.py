"""Makes a configuration of transformers from the settings `model.*`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ergokedro.errors import ErgokedroError
from ergokedro.models.transformers_models.names import causal_model_types
from ergokedro.parameters import ModelParameters

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Fields = dict[str, Any]
# A window may have this many tokens: the largest mixture.window_length.
_POSITIONS = 2048
_DROPOUT = re.compile("dropout|pdrop|drop_prob|layerdrop|jitter")
# Defaults for small models, where those of transformers fit one published size only.
_MODEL_DEFAULTS: dict[str, Fields] = {
    "mamba2": {"n_groups": 1, "head_dim": 32, "chunk_size": 64},
}
# Values that those of a configuration directory do not replace: the first four belong to another
# tokenizer or to generation, and RWKV would halve weights in place when it is evaluated.
_FIXED: Fields = {
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "use_cache": False,
    "rescale_every": 0,
}


def config_class(model_type: str) -> type[PreTrainedConfig]:
    """transformers' configuration class of a model type."""
    from transformers import CONFIG_MAPPING

    config_type: type[PreTrainedConfig] = CONFIG_MAPPING[model_type]
    return config_type


def configuration(config: Fields) -> PreTrainedConfig:
    """transformers' configuration of a config.json; RWKV must not rescale weights in place.

    Raises
    ------
    Exception
        Whatever the configuration class raises for values that do not fit.
    """
    values = json.loads(json.dumps(config), object_hook=_special_float)
    theirs = config_class(config["model_type"]).from_dict(values)
    theirs.use_cache = False
    if hasattr(theirs, "rescale_every"):
        theirs.rescale_every = 0
    return theirs


def _special_float(value: Fields) -> Any:
    """The number that transformers writes as {"__float__": "Infinity"}."""
    return float(value["__float__"]) if value.keys() == {"__float__"} else value


def config_from_settings(model_type: str, params: ModelParameters, vocab_size: int) -> Fields:
    """The content of config.json: `model.config`, the preset's sizes, and no dropout.

    Parameters
    ----------
    model_type : of transformers, such as 'llama'.
    params : settings `model.*`; those of the preset filled in, unless `config` is a directory.

    Raises
    ------
    ErgokedroError
        If `model.config` names unknown fields, or values that do not fit.
    """
    cls, settings = config_class(model_type), _settings(params)
    known = _defaults(cls)
    if isinstance(params.config, str):
        values = _read_directory(Path(params.config), model_type)
        values |= _disabled(cls, known) | _native(settings, cls, known)
    else:
        config = params.config or {}
        _check_fields(config, known, cls.attribute_map, model_type)
        given = _native(config, cls, known)
        defaults = _disabled(cls, known) | _MODEL_DEFAULTS.get(model_type, {})
        sizes = _derived(settings, given, known, cls) | _native(settings, cls, known)
        values = defaults | sizes | given
    return _validated(cls, values | {"vocab_size": vocab_size, "dtype": "float32"})


def _defaults(cls: type[PreTrainedConfig]) -> Fields:
    """All fields of a configuration with the values that they have by default."""
    try:
        defaults: Fields = cls().to_dict()
    except Exception as error:  # each configuration class raises what it likes
        raise ErgokedroError(
            f"model.architecture = {cls.model_type!r} cannot be configured by fields ({error}); "
            "choose another one."
        ) from error
    return defaults


def _validated(cls: type[PreTrainedConfig], values: Fields) -> Fields:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as NAMES

    values |= {"architectures": [NAMES[cls.model_type]], "model_type": cls.model_type}
    try:
        config: Fields = json.loads(configuration(values).to_json_string())
    except Exception as error:  # each configuration class raises what it likes
        reason = " ".join(str(error).split())
        raise ErgokedroError(f"model.config does not fit {cls.model_type}: {reason}") from error
    return config


def _read_directory(directory: Path, model_type: str) -> Fields:
    """The fields of the config.json in a directory, without those that are for its weights."""
    try:
        given = json.loads((directory / "config.json").read_bytes())
        if not isinstance(given, dict):
            raise ValueError("it holds no object")
    except (OSError, ValueError) as error:
        raise ErgokedroError(
            f"model.config = '{directory}' is no directory with a readable config.json ({error}); "
            "give one, or fields such as model.config.hidden_size."
        ) from error
    own_type = given.get("model_type")
    if own_type != model_type:
        remedy = (
            f"set model.architecture={own_type}"
            if own_type in causal_model_types()
            else "which is no causal language model of transformers; choose another directory"
        )
        raise ErgokedroError(
            f"model.config = '{directory}' describes a model of type {own_type!r}, but "
            f"model.architecture = {model_type!r}; {remedy}."
        )
    return {name: value for name, value in given.items() if name not in _OF_FILES}


# Fields that say how published weights are stored, and which code comes with them. A model that is
# trained from random weights has neither.
_OF_FILES = {"quantization_config", "compression_config", "auto_map"}


def _check_fields(given: Fields, known: Fields, aliases: dict[str, str], model_type: str) -> None:
    """Refuse unknown fields, dropout, and models that read more than text."""
    if "vocab_size" not in {*known, *aliases}:
        text = f"{model_type}_text"
        other = f"model.architecture={text}" if text in causal_model_types() else "a text model"
        raise ErgokedroError(
            f"model.architecture = {model_type!r} has no vocabulary of its own, since it reads "
            f"more than text; choose {other}."
        )
    allowed = {*known, *aliases} - _NOT_CHOSEN
    for name, value in given.items():
        if name not in allowed:
            raise ErgokedroError(
                f"model.config.{name} is unknown, or not a choice; those of {model_type} are: "
                f"{', '.join(sorted(allowed))}."
            )
        if _DROPOUT.search(name) and value:
            raise ErgokedroError(
                f"model.config.{name} = {value!r}: models are trained without dropout, since "
                "resumed runs would draw other random numbers; leave it out."
            )


# Fields of every configuration that say nothing of the model's shape, or are decided elsewhere.
_NOT_CHOSEN = {
    "_name_or_path", "architectures", "chunk_size_feed_forward", "dtype", "id2label", "label2id",
    "model_type", "output_attentions", "output_hidden_states", "problem_type", "return_dict",
    "transformers_version", "use_cache", "vocab_size",
}  # fmt: skip


def _disabled(cls: type[PreTrainedConfig], known: Fields) -> Fields:
    """Fields that switch off dropout, cache, and the special tokens of another vocabulary."""
    kinds = {name: str(field.type) for name, field in cls.__dataclass_fields__.items()}
    dropout = {
        name: 0.0
        for name, value in known.items()
        if _DROPOUT.search(name) and isinstance(value, float)
    }
    fixed = {
        name: value
        for name, value in _FIXED.items()
        if name in known and (value is not None or "None" in kinds.get(name, "None"))
    }
    return {**dropout, **fixed}


def _settings(params: ModelParameters) -> Fields:
    """The settings `model.*` that most models share, under the names most configurations use."""
    values = {
        "hidden_size": params.hidden_size,
        "num_hidden_layers": params.num_layers,
        "num_attention_heads": params.num_heads,
        "intermediate_size": params.intermediate_size,
        "initializer_range": params.initializer_range,
    }
    return {name: value for name, value in values.items() if value is not None}


def _native(fields: Fields, cls: type[PreTrainedConfig], known: Fields) -> Fields:
    """The fields that this configuration has, under its own names."""
    named = {cls.attribute_map.get(name, name): value for name, value in fields.items()}
    return {name: value for name, value in named.items() if name in known}


def _derived(settings: Fields, given: Fields, known: Fields, cls: type[PreTrainedConfig]) -> Fields:
    """Sizes that follow from width and heads, where neither a setting nor a field gives them."""
    aliases = cls.attribute_map
    fields = {**settings, **{name: given[own] for name, own in aliases.items() if own in given}}
    fields |= given
    width, heads = fields.get("hidden_size"), fields.get("num_attention_heads")
    positions = known.get(aliases.get("max_position_embeddings", "max_position_embeddings"))
    sizes: Fields = {"max_position_embeddings": max(_POSITIONS, positions or 0)}
    if not isinstance(width, int) or not isinstance(heads, int):
        return _native(sizes, cls, known)  # another message says what is wrong with them
    sizes |= {
        "intermediate_size": 4 * width,
        "attention_hidden_size": width,
        "lru_width": width,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        "query_pre_attn_scalar": given.get("head_dim", width // heads),
    }
    if cls.model_type == "mamba2":
        shape = {**known, **_MODEL_DEFAULTS["mamba2"], **given}
        head = shape["head_dim"]
        sizes |= {"num_heads": shape["expand"] * width // head, "head_dim": head}
    return _native(sizes, cls, known)
