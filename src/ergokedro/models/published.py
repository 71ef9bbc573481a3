"""Published causal language models: found in a directory or on the hub, and read with care.

No code that comes with a model is run, and no pickled file is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ergokedro.data.hub_repository import HubRepository
from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import seeded
from ergokedro.models.transformers_models.architecture import transformers_architecture
from ergokedro.models.transformers_models.names import causal_model_types

if TYPE_CHECKING:
    from ergokedro.models.transformers_models.modules import TransformersModel

# Repositories also hold the same weights for other programs, in folders or under other names.
_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_NOT_FILES = ["*/*", "consolidated*"]


def locate(name: str) -> tuple[Path, str]:
    """The directory of a model, downloaded if it is on the hub, and its commit there or ''.

    Parameters
    ----------
    name : a directory, or a name on the hub, which may end in @ and a revision.

    Raises
    ------
    ErgokedroError
        If there is no such directory, and the hub does not know the name or cannot be reached.
    """
    directory = Path(name).expanduser()
    if directory.is_dir():
        return directory.resolve(), ""
    if name.startswith((".", "/", "~")):
        raise ErgokedroError(f"references = {name!r}: no such directory, seen from {Path.cwd()}.")
    on_hub, _, revision = name.partition("@")
    repository = HubRepository("model", on_hub, revision or None, "references")
    with repository.explained():
        folder = repository.download(repository.resolve(), _FILES, ignored=_NOT_FILES)
    return folder, folder.name


def load_published(directory: Path, name: str) -> TransformersModel:
    """Read a model in float32, as transformers itself does.

    Parameters
    ----------
    name : what the setting `references` says; for messages.

    Raises
    ------
    ErgokedroError
        If there is no readable model, it is not of a causal type that transformers has, or it sees
        later tokens.
    """
    try:
        config = json.loads((directory / "config.json").read_bytes())
        model_type = config.get("model_type")
        if model_type not in causal_model_types():
            raise ValueError(
                f"model_type {model_type!r} is no causal language model of transformers; code that "
                "comes with a model is not run"
            )
        with seeded(0):
            return transformers_architecture(model_type).load(directory, config, strict=False)
    except Exception as error:  # any of two hundred models, and safetensors' own
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise ErgokedroError(
            f"references = {name!r} cannot be read ({reason}). It needs config.json, "
            "model.safetensors and tokenizer.json, as save_pretrained writes them."
        ) from error
