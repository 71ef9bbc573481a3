"""Models by the name of their architecture: built from settings, saved, loaded.

The built-in architectures are registered here; a plugin registers its own in the same `MODELS`. A
name that is not registered is looked up among the model types of transformers.
torch is imported when a model is built, so that settings can be checked without it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_directory, canonical_json
from ergokedro.models.architecture import Architecture
from ergokedro.models.gpt_neox.architecture import GPTNeoXArchitecture
from ergokedro.models.presets import with_preset
from ergokedro.models.transformers_models.architecture import transformers_architecture
from ergokedro.models.transformers_models.names import causal_model_types
from ergokedro.parameters import ModelParameters
from ergokedro.registry import Registry

if TYPE_CHECKING:
    from ergokedro.models.causal_lm import CausalLM


class _Architectures(Registry[Architecture]):
    """Registered architectures; another name may be a model type of transformers."""

    def missing(self, name: str) -> Architecture:
        types = causal_model_types()
        if name in types:
            return transformers_architecture(name)
        near = ", ".join(get_close_matches(name, types)) or "llama, gpt2, mamba2"
        raise ErgokedroError(
            f"{self.setting} = {name!r} is unknown. Known: {', '.join(self)}, and {len(types)} "
            f"model types of transformers such as {near}. A module that registers another one is "
            "named by the setting plugins."
        )


MODELS: Registry[Architecture] = _Architectures("model.architecture")
MODELS.register("gpt_neox", GPTNeoXArchitecture())

_CONFIG_FILE = "config.json"
# Pythia pads 50,277 tokens to 50,304: matrix products are faster with multiples of 128.
_VOCABULARY_MULTIPLE = 128
# torch's default generator is shared by the threads in which runs are trained side by side.
_generator_lock = threading.Lock()


def model_config(params: ModelParameters, vocab_size: int) -> dict[str, Any]:
    """The content of a model's config.json, from which it is built.

    A setting of `params` that the architecture does not use is refused.

    Parameters
    ----------
    vocab_size : number of token ids; padded up to a multiple of 128.

    Raises
    ------
    ErgokedroError
        If there is no such architecture or preset, or the settings do not fit together or have no
        effect.
    """
    padded = -(-vocab_size // _VOCABULARY_MULTIPLE) * _VOCABULARY_MULTIPLE
    architecture = MODELS[params.architecture]
    for name in architecture.unused:
        if getattr(params, name) is not None:
            raise ErgokedroError(
                f"model.{name} = {getattr(params, name)!r} has no effect on model.architecture = "
                f"{params.architecture!r}; leave it out, or choose another architecture."
            )
    config = architecture.config(with_preset(params), padded)
    return {**config, "model_type": params.architecture}


def build_model(config: dict[str, Any], seed: int) -> CausalLM:
    """A model whose weights depend on `config` and `seed` alone.

    torch's default generator is in the same state afterwards as before.

    Parameters
    ----------
    config : of :func:`model_config`.
    """
    with seeded(seed):
        return MODELS[config["model_type"]].build(config)


def multiplied_weights(config: dict[str, Any]) -> int:
    """:attr:`CausalLM.multiplied_weights` of the model of `config`."""
    with seeded(0):
        return MODELS[config["model_type"]].skeleton(config).multiplied_weights


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's default generator for the block, and restore its state afterwards.

    One thread at a time: libraries also replace torch's functions of initial weights while they
    read a model.
    """
    import torch

    with _generator_lock, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def save_model(path: Path, model: CausalLM) -> None:
    """Write a directory of config.json and weights, atomically; transformers' own file names."""
    with atomic_directory(Path(path)) as work:
        (work / _CONFIG_FILE).write_bytes(canonical_json(model.config))
        MODELS[model.config["model_type"]].save_weights(work, model)


def has_transformers_form(path: Path) -> bool:
    """Whether `AutoModelForCausalLM` reads the directory, of :func:`save_model`."""
    config = json.loads((Path(path) / _CONFIG_FILE).read_bytes())
    return MODELS[config["model_type"]].in_transformers


def load_model(path: Path) -> CausalLM:
    """Read a directory that :func:`save_model` wrote, or one of transformers such as Pythia's.

    Raises
    ------
    ErgokedroError
        If there is no model, or its architecture is unknown.
    """
    try:
        config = json.loads((Path(path) / _CONFIG_FILE).read_bytes())
        with seeded(0):
            return MODELS[config["model_type"]].load(Path(path), config)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise ErgokedroError(
            f"{path} holds no readable model ({error}); run `kedro run --pipelines training`."
        ) from error
