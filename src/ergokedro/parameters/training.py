"""Settings of the model and of its training."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ergokedro.parameters.base import Fraction, ParameterGroup


class ModelParameters(ParameterGroup):
    """The model's architecture and size; weights always start from random values."""

    architecture: str = Field(
        "gpt_neox",
        description=(
            "'gpt_neox' (built in, the fastest); the `model_type` of any causal language model of "
            "transformers, such as 'llama', 'qwen3' or 'mamba2'; or the name of one that a plugin "
            "adds."
        ),
    )
    config: dict[str, Any] | str | None = Field(
        None,
        description=(
            "With a model of transformers: fields of its configuration, which override the "
            "preset's sizes, or a directory with a config.json, whose weights are not read."
        ),
    )
    preset: str = Field(
        "micro",
        description=(
            "Name of a built-in size, or of one that a plugin adds; the settings below override "
            "single values of it."
        ),
    )
    parameters: float | None = Field(
        None,
        ge=2.5e4,
        le=1e12,
        description=(
            "Weights between embedding and output layer, such as 3e6: a rule gives the width, the "
            "layers and the heads, in place of the preset's."
        ),
    )
    hidden_size: int | None = Field(None, ge=8, description="Width of the hidden states.")
    num_layers: int | None = Field(None, ge=1, description="Number of layers.")
    num_heads: int | None = Field(
        None, ge=1, description="Attention heads per layer; they divide the width."
    )
    intermediate_size: int | None = Field(
        None, ge=8, description="Width inside the MLP; default: four times `hidden_size`."
    )
    rotary_pct: Fraction | None = Field(
        None, description="Share of a head's dimensions that the rotary embedding rotates."
    )
    parallel_residual: bool | None = Field(
        None, description="Whether attention and MLP of a layer read the same input."
    )
    initializer_range: float | None = Field(
        None, gt=0, description="Standard deviation of the initial matrices."
    )

    @field_validator("config", mode="before")
    @classmethod
    def _fields_or_directory(cls, value: Any) -> Any:
        if not isinstance(value, dict | str | None):
            raise ValueError(
                "name fields of the architecture's configuration, as in "
                "model.config.hidden_size=64, or a directory with a config.json"
            )
        return value


class CheckpointParameters(ParameterGroup):
    """Which checkpoints of a training run are kept; the last one always is."""

    every: float | None = Field(
        None,
        gt=0,
        description=(
            "From 1 on: steps between checkpoints; below 1: a share of the run's steps. Default: "
            "at least 10 s apart, and so rarely that saving takes at most 2 % of the time."
        ),
    )
    keep_last: int = Field(1, ge=1, description="Number of latest checkpoints that are kept.")
    log_spaced: bool = Field(
        False, description="Also save, and always keep, those after 1, 2, 4, 8, ... steps."
    )


# Training settings that decide where and how fast a run is computed, but not its results.
MACHINE_SETTINGS = {
    "device", "compile", "threads", "processes", "parallel_runs", "runs_per_gpu", "micro_batch",
    "checkpoints", "repeat",
}  # fmt: skip


class TrainingParameters(ParameterGroup):
    """The training protocol; identical for every K."""

    epochs: int = Field(4, ge=1, description="Passes over the D tokens (3 to 5 recommended).")
    batch_size: int = Field(16, ge=1, description="Windows per optimizer step.")
    shuffle: Literal["full", "block"] = Field(
        "full",
        description=(
            "'full': windows in random order over the epoch. 'block': for stores larger than "
            "memory, random blocks, mixed a group at a time, so that reading stays local."
        ),
    )
    optimizer: str = Field(
        "muon",
        description=(
            "'muon' makes the updates of the matrices between embedding and output layer "
            "orthogonal and leaves the other weights to AdamW; 'adamw' takes all weights; or the "
            "name of an optimizer that a plugin adds."
        ),
    )
    learning_rate: float = Field(
        8e-3,
        gt=0,
        description=(
            "Peak learning rate. If it is not set: that of `model.preset`, or by a rule for the "
            "model's width; see Performance."
        ),
    )
    schedule: str = Field(
        "cosine",
        description=(
            "Learning rate after the warm-up: 'cosine' falls along a cosine to the last step; "
            "'wsd' stays at the peak, then falls linearly; 'averaged' stays at the peak, and the "
            "model is the average of the weights with the lowest XE on validation text, as of the "
            "best specialists: `epochs` is then the most; or the name of a schedule that a plugin "
            "adds."
        ),
    )
    decay_fraction: Fraction = Field(0.2, description="Share of steps that decay, with 'wsd'.")
    min_learning_rate: Fraction = Field(
        0.0, description="Final learning rate as a fraction of the peak."
    )
    warmup_fraction: Fraction = Field(0.05, description="Share of steps with linear warm-up.")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay rate of the mean gradient.")
    beta2: float = Field(
        0.98, ge=0, lt=1, description="AdamW's decay rate of the mean squared gradient."
    )
    weight_decay: float = Field(
        0.0, ge=0, description="Decoupled weight decay of matrices; biases and norms have none."
    )
    gradient_clip: float = Field(1.0, gt=0, description="Largest global gradient norm.")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description=(
            "Windows per forward and backward pass; their gradients add up to the batch's. "
            "Default: the whole batch, halved until it fits in memory."
        ),
    )
    log_points: int = Field(200, ge=1, description="Points of the training curves per run.")
    validation_points: int = Field(10, ge=1, description="Validation measurements per run.")
    validation_windows: int = Field(
        50, ge=1, description="Windows per component in each of those measurements."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="Where models are computed; 'auto': CUDA if there is one, else the CPU.",
    )
    compile: bool | None = Field(
        None, description="Whether to compile the training step; default: on CUDA alone."
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads per run; default: one for small models, else all cores.",
    )
    processes: int = Field(
        1,
        ge=1,
        description=(
            "With RayRunner: processes that train one run together, on one node or several, each "
            "on its rows of every batch. Each has a GPU of its own; on CPUs they share `threads`."
        ),
    )
    parallel_runs: int | None = Field(
        None,
        ge=1,
        description=(
            "Runs trained at the same time; default: as many as there are cores for, or a few more "
            "where the last round would leave cores idle; one on a GPU."
        ),
    )
    runs_per_gpu: int | None = Field(
        None,
        ge=1,
        description=(
            "With RayRunner: runs that share one GPU; default: two where steps are small, else one."
        ),
    )
    checkpoints: CheckpointParameters = CheckpointParameters()
    repeat: bool = Field(False, description="Repeat runs that are already finished.")

    @property
    def averages(self) -> bool:
        """Whether every run looks for its best number of epochs by averages of its weights."""
        return self.schedule == "averaged"

    @model_validator(mode="after")
    def _all_have_work(self) -> TrainingParameters:
        if self.processes > self.batch_size:
            raise ValueError(
                f"training.processes = {self.processes} is more than the training.batch_size of "
                f"{self.batch_size} windows; some would have nothing to do. Lower it"
            )
        return self
