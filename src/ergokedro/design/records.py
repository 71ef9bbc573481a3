"""Typed records that runs write: the summary of a training, and the origin of NLL arrays.

They are stored as JSON and read again by other commands, so unknown or missing keys are errors.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen record without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class TrainingSummary(Record):
    """Sizes, fingerprints, stability and speed of one training.

    Attributes
    ----------
    seed : of the initial weights and the order of the data.
    steps : optimizer steps.
    tokens_seen : training tokens over all epochs.
    parameters : trainable weights, embeddings included.
    initial_weights, final_weights, schedule : SHA-256 hex digests.
    final_train_loss : mean over the last 2 % of steps, nats per token.
    loss_spikes, nonfinite_steps, gradient_norm_median, gradient_norm_max : see
        :func:`ergokedro.training.stability.stability`.
    seconds : of the training, validation and checkpoints included.
    tokens_per_second : `tokens_seen` over `seconds`.
    best_epochs : passes over the text after which the average of the weights was best; that average
        is the model, and `epochs` are the most that were allowed. None without averages.
    """

    seed: int
    steps: int
    tokens_seen: int
    epochs: int
    batch_size: int
    parameters: int
    initial_weights: str
    final_weights: str
    schedule: str
    final_train_loss: float
    loss_spikes: int
    nonfinite_steps: int
    gradient_norm_median: float
    gradient_norm_max: float
    seconds: float
    tokens_per_second: float
    device: str
    threads: int
    processes: int = 1
    best_epochs: float | None = None


class RunSummary(TrainingSummary):
    """The training of one run of an experiment.

    Attributes
    ----------
    run : name of the run.
    components : labels of the components trained on.
    manifest : fingerprint of the manifest.
    total_tokens : tokens per epoch.
    settings : the groups `model` and `training` of the parameters that it was trained with.
    """

    run: str
    k: int
    components: list[str]
    manifest: str
    total_tokens: int
    settings: dict[str, dict[str, Any]]


class NLLFingerprints(Record):
    """Fingerprints of all that an array of NLL was measured with."""

    manifest: str
    weights: str
    evaluation_windows: str
    store: str
    tokenizer: str


class NLLMeta(Record):
    """Which run an array of NLL belongs to, and what it was measured with.

    `versions` are those of the code and of the libraries that computed it.
    """

    run: str
    k: int
    seed: int
    components: list[str]
    fingerprints: NLLFingerprints
    versions: dict[str, str]


class ExactMeta(Record):
    """Whether the optimum of the corpus is known, and of which token store it is."""

    available: bool
    store: str = ""


class Reference(Record):
    """A published model that could be read, with a tokenizer of its own.

    Attributes
    ----------
    name : as the setting `references` gives it.
    directory : its files on this machine.
    revision : commit on the hub; empty for a directory.
    weights : SHA-256 of its weights.
    parameters : their number, embeddings included.
    """

    name: str
    directory: str
    revision: str
    model_type: str
    parameters: int
    weights: str


class ReferenceMeta(Record):
    """Which published model an array of NLL belongs to, and what it was measured with.

    Attributes
    ----------
    same_tokens : its tokenizer gives the tokens of the store. Otherwise the NLL of its own tokens
        is spread over their characters, and added up over those of each token of the store.
    """

    name: str
    revision: str
    model_type: str
    parameters: int
    same_tokens: bool
    fingerprints: NLLFingerprints
    versions: dict[str, str]
