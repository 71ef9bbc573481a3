"""What completes a trained model's directory: tokenizer, settings of generation, model card."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from ergokedro import __version__
from ergokedro.analysis.random_effects import Estimate
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.mixture import Manifest
from ergokedro.design.records import RunSummary
from ergokedro.files import canonical_json
from ergokedro.parameters import MACHINE_SETTINGS
from ergokedro.reporting.rendering import render_markdown

# Settings that decide neither what a model is trained on, nor how.
_OTHER_SETTINGS = (
    *("plan", "grid.", "largest_sweep", "experiments", "references", "corpus.processes"),
    "analysis.",
)
# Of a command that repeats what an environment of another name did.
_OTHER_EXPERIMENT = "again"


@dataclass(frozen=True)
class ModelCard:
    """What a model card says.

    Attributes
    ----------
    xe : on the test text of the components that the model was trained on, nats per token.
    corpus : the setting `corpus.source`.
    settings : those that differ from the defaults, flat.
    commit : of the project.
    in_transformers : whether `AutoModelForCausalLM` reads the directory.
    """

    summary: RunSummary
    manifest: Manifest
    xe: Estimate
    corpus: str
    settings: dict[str, Any]
    commit: str
    in_transformers: bool

    @property
    def command(self) -> str:
        """The command that trains the model again, wherever the corpus is the same."""
        given = {name: v for name, v in self.settings.items() if self._decides(name)}
        if given.get("corpus.source", "synthetic") != "synthetic":  # which has a folder of its own
            given = {"experiment": _OTHER_EXPERIMENT, **given}
        if self.manifest.in_chain:
            given = {"k": self.summary.k, **given}
        values = (f"{name}={json.dumps(v, ensure_ascii=False)}" for name, v in given.items())
        return shlex.join(["kedro", "run", "--params", ",".join(values)])

    def _decides(self, setting: str) -> bool:
        """Whether the model depends on a setting; the chain's does not on K of other runs."""
        if self.manifest.in_chain and (setting == "k" or setting.startswith("controls.")):
            return False
        machine = setting.removeprefix("training.").split(".")[0] in MACHINE_SETTINGS
        return not machine and not setting.startswith(_OTHER_SETTINGS)


def directory_files(card: ModelCard, tokenizer: Tokenizer) -> dict[str, str]:
    """The files that complete a model's directory, by name.

    Documents end with the end-of-text token, and windows begin anywhere in them, so that this token
    is the only special one. As in training, the tokenizer adds none by itself.
    """
    end_of_text = str(tokenizer.backend.id_to_token(tokenizer.end_of_text))
    definition = json.loads(tokenizer.definition.read_text(encoding="utf-8"))
    roles = ("bos", "eos", "pad")
    contents: dict[str, Any] = {
        "tokenizer.json": {**definition, "post_processor": None},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": card.manifest.window_length,
            **{f"{role}_token": end_of_text for role in roles},
        },
    }
    if card.in_transformers:
        contents["generation_config.json"] = {
            "do_sample": True,
            "max_new_tokens": card.manifest.window_length // 2,
            **{f"{role}_token_id": tokenizer.end_of_text for role in roles},
        }
    files = {name: canonical_json(content).decode() for name, content in contents.items()}
    text = render_markdown("model_card.md.j2", card=card, version=__version__)
    return {**files, "README.md": text}
