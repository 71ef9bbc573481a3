"""Typed parameters: every setting with its type, default, bounds and meaning.

``conf/*/parameters*.yml`` and ``--params`` are validated against :class:`Parameters`
before any work starts; nodes receive the sub-models, never raw dictionaries.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from ergokedro.errors import ErgokedroError

# A folder's name, and no way out of its folder.
EXPERIMENT_NAME = r"^[\w-][\w.-]*$"
LARGEST_K = 64
_K_FORMS = "'all', one number (3), a range (2-4) or a list (1+3)"
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class SyntheticParameters(_Model):
    """A family of hidden Markov sources over one shared vocabulary of words."""

    components: int = Field(5, ge=2, le=64, description="Number of ergodic sources.")
    states: int = Field(4, ge=1, le=64, description="Hidden states of each source.")
    words: int = Field(32, ge=2, le=4096, description="Size of the shared vocabulary.")
    shared_emission: Fraction = Field(
        0.8, description="Weight of the emission rows that all sources share; the rest is own."
    )
    shared_transition: Fraction = Field(
        0.5, description="Weight of the transition rows that all sources share; the rest is own."
    )
    emission_concentration: float = Field(
        0.05, gt=0, description="Dirichlet concentration of emission rows; small is peaked."
    )
    transition_concentration: float = Field(
        0.3, gt=0, description="Dirichlet concentration of transition rows."
    )
    uniform: Fraction = Field(0.02, description="Weight of uniform noise mixed into every row.")
    words_per_document: int = Field(1000, ge=10, description="Length of every document in words.")
    train_documents: int = Field(
        750, ge=1, description="Training documents of the smallest source; others have more."
    )
    train_documents_step: int = Field(
        10, ge=0, description="Each further source has this many training documents more."
    )
    heldout_documents: int = Field(
        60, ge=1, description="Documents of every source in validation, and as many in test."
    )
    seed: int = Field(0, ge=0, description="Seed of the sources and of the documents.")


class CorpusParameters(_Model):
    """Where labelled documents come from and how they are cleaned."""

    source: str = Field(
        "synthetic",
        min_length=1,
        description=(
            "'synthetic'; a name that a plugin registers; a hub name such as "
            "'ccdv/arxiv-classification'; a file, glob or directory of Parquet, JSON Lines or CSV, "
            "also at a URL such as s3://bucket/folder; or a directory with a folder of text files "
            "per category."
        ),
    )
    text_files: str | None = Field(
        None,
        min_length=1,
        description=(
            "Glob ('**/*.py') or ending ('.py') of the text files, where the source is a directory "
            "with a folder per category; default: all files, if none is Parquet, JSON Lines or CSV."
        ),
    )
    options: dict[str, Any] = Field(
        {}, description="Settings of a source of your own, which a plugin has registered."
    )
    config: str | None = Field(
        None, description="Configuration of a hub data set, or of a copy with its README.md."
    )
    revision: str | None = Field(None, description="Hub revision to pin (branch, tag or commit).")
    text_column: str = Field("text", description="Column that holds a document's text.")
    label_column: str = Field("label", description="Column that holds a document's category.")
    heldout_fraction: float = Field(
        0.1,
        gt=0,
        lt=0.5,
        description=(
            "Share of the training documents, chosen by content hash, for each of validation and "
            "test that the source lacks."
        ),
    )
    delete_label_names: bool = Field(
        False,
        description=(
            "Delete the categories' names (such as cs.AI) from the text, as the hub data set's "
            "configuration no_ref does; synthetic text has none."
        ),
    )
    near_duplicates: Literal["auto", "off", "report", "drop"] = Field(
        "auto",
        description=(
            "Look for near-duplicates by MinHash over all splits and categories: list them, or "
            "also drop them from the training split. In held-out text they are listed only. auto: "
            "list them in a corpus of up to 200 MB of text; synthetic text has none."
        ),
    )
    near_duplicate_threshold: float = Field(
        0.8,
        ge=0.5,
        le=1,
        description="Jaccard similarity of five-word shingles from which on two texts are near.",
    )
    document_order_seed: int = Field(
        0, ge=0, description="Seed of the order of documents inside a component of the store."
    )
    synthetic: SyntheticParameters = SyntheticParameters()


class TokenizerParameters(_Model):
    """One tokenizer for every component."""

    source: str = Field(
        "trained",
        min_length=1,
        description=(
            "'trained' (byte-level BPE on the corpus's training split); a hub name such as "
            "'EleutherAI/pythia-70m'; or a local directory."
        ),
    )
    revision: str | None = Field(None, description="Hub revision to pin.")
    vocab_size: int = Field(
        512, ge=257, le=65_535, description="Largest vocabulary of a trained tokenizer."
    )


class MixtureParameters(_Model):
    """Which components are compared, and the budget of tokens that all K share."""

    top_n: int = Field(5, ge=1, description="Number of components: the largest by `rank_by`.")
    rank_by: Literal["tokens", "documents"] = Field(
        "tokens", description="What ranks the categories when choosing the top N."
    )
    components: list[str] | None = Field(
        None, min_length=1, description="Pin the components by name instead of ranking them."
    )
    total_tokens: int | None = Field(
        None,
        ge=100,
        description=(
            "D, the training tokens of every K, rounded down by at most 1 % so that as many K as "
            "possible divide it into whole windows; for other K shares differ by one window. "
            "Default: all of the smallest component. Smaller: a cap for small machines. Larger: "
            "components that are too small give all they have and the others share the rest."
        ),
    )
    window_length: int = Field(100, ge=2, le=2048, description="Tokens in a window.")
    within_documents: bool = Field(
        False,
        description=(
            "Keep training windows inside documents instead of crossing borders. A document then "
            "leaves out, in every epoch, the tokens that do not fill a window, at random places."
        ),
    )


class ModelParameters(_Model):
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
            "preset's sizes, or a directory with a config.json. Weights are random all the same."
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
        None, description="Attention and MLP of a layer read the same input."
    )
    initializer_range: float | None = Field(
        None, gt=0, description="Standard deviation of the initial matrices."
    )


class CheckpointParameters(_Model):
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
    "device", "compile", "threads", "processes", "parallel_runs", "micro_batch", "checkpoints",
    "repeat",
}  # fmt: skip


class TrainingParameters(_Model):
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
            "'wsd' stays at the peak, then falls linearly; or the name of a schedule that a plugin "
            "adds."
        ),
    )
    decay_fraction: Fraction = Field(0.2, description="Share of steps that decay, with 'wsd'.")
    min_learning_rate: Fraction = Field(
        0.0, description="Final learning rate as a fraction of the peak."
    )
    warmup_fraction: Fraction = Field(0.05, description="Share of steps with linear warm-up.")
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.98, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, description="Decoupled; on matrices only.")
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
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto")
    compile: bool | None = Field(
        None, description="Compile the training step; default: on CUDA, where it is faster."
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
            "Processes that train one run together, each on its rows of every batch: the number of "
            "GPUs; on CPUs they share the threads."
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
    checkpoints: CheckpointParameters = CheckpointParameters()
    repeat: bool = Field(False, description="Repeat runs that are already finished.")


class EvaluationParameters(_Model):
    """The fixed held-out windows on which every model is measured."""

    windows_per_document: int = Field(
        20,
        ge=1,
        description="At most this many, evenly spaced from a random phase on, not overlapping.",
    )
    max_documents: int | None = Field(
        None,
        ge=1,
        description=(
            "At most this many documents per component and split. Default: all, if evaluation then "
            "costs at most a tenth of a run's training; else fewer windows per document, down to "
            "one, and then fewer documents, but at least 60."
        ),
    )
    seed: int = Field(0, ge=0, description="Seed of the windows' random phases in documents.")
    batch_size: int = Field(64, ge=1, description="Windows per forward pass.")


class AnalysisParameters(_Model):
    """Intervals of the report."""

    bootstrap: int = Field(
        2000, ge=100, description="Bootstrap replicates, over documents, of curve fits."
    )
    level: float | None = Field(
        None,
        gt=0,
        description=(
            "Validation XE on the smallest component, nats per token, to which the tokens that "
            "every K needs are counted. Set it before the runs: a level that is read off them "
            "would depend on what it measures. Default: not counted."
        ),
    )
    detect: float = Field(
        0.01,
        gt=0,
        description=(
            "Effect of K, nats per token, for which the report and plan=true say how many draws, "
            "seeds or documents would detect it."
        ),
    )
    assumed_sd_draws: float = Field(
        0.01,
        ge=0,
        description=(
            "Standard deviation over draws of the difference between K and K = 1, nats per token, "
            "that plan=true assumes where the experiment has no results with several draws. "
            "Default: the difference between parts of one category of arXiv abstracts, D = "
            "600,000; with two dozen full papers it was 0.09."
        ),
    )
    assumed_sd_seeds: float = Field(
        0.005,
        ge=0,
        description=(
            "The same over seeds. Default: of single runs on the same abstracts 0.0035, times the "
            "square root of 2."
        ),
    )
    assumed_sd_documents: float = Field(
        0.17,
        ge=0,
        description=(
            "The same over held-out documents of one component. Default: the standard error on "
            "the same abstracts, 0.011, times the square root of 250 documents."
        ),
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")


class GridParameters(_Model):
    """Totals and model sizes at which `kedro grid` repeats the whole experiment."""

    total_tokens: list[Annotated[int, Field(ge=100)]] = Field(
        [], description="Values of mixture.total_tokens; none: its own value alone."
    )
    presets: list[str] = Field([], description="Values of model.preset; none: its own value alone.")


def _check_form_of_k(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"not understood; give {_K_FORMS}")
    return value


class Parameters(_Model):
    """All settings of a run."""

    k: Annotated[int | str, BeforeValidator(_check_form_of_k)] = Field(
        "all",
        description="Which K to run: 'all', 3, '2-4' or '1+3'. Raises mixture.top_n if need be.",
    )
    seed: int = Field(0, ge=0, description="Seed of initial weights and data order.")
    plan: bool = Field(False, description="Say what training would cost, and train nothing.")
    largest_sweep: int = Field(
        200, ge=1, description="More runs than this are refused: controls.subsets makes 2^n - 1."
    )
    experiment: str | None = Field(
        None,
        pattern=EXPERIMENT_NAME,
        description="Folder of this experiment in every data layer; default: the environment's.",
    )
    shared_data: str | None = Field(
        None,
        pattern=EXPERIMENT_NAME,
        description=(
            "Experiment whose corpus, tokenizer and token store are used; default: this one's own."
        ),
    )
    plugins: str = Field(
        "",
        description=(
            "Python modules to import first, joined by '+': they register controls, figures, "
            "models, optimizers, learning-rate schedules or corpus sources of your own."
        ),
    )
    corpus: CorpusParameters = CorpusParameters()
    tokenizer: TokenizerParameters = TokenizerParameters()
    mixture: MixtureParameters = MixtureParameters()
    model: ModelParameters = ModelParameters()
    training: TrainingParameters = TrainingParameters()
    evaluation: EvaluationParameters = EvaluationParameters()
    controls: dict[str, bool | int | float | str] = Field(
        {},
        description=(
            "Runs beside the chain K = 1, 2, ...: the settings of the registered controls, see "
            "`ergokedro.analysis.controls`."
        ),
    )
    analysis: AnalysisParameters = AnalysisParameters()
    grid: GridParameters = GridParameters()

    @model_validator(mode="after")
    def _consistent(self) -> Parameters:
        largest = max(self.runs)
        if self.corpus.source == "synthetic" and largest > self.corpus.synthetic.components:
            raise ValueError(
                f"k = {self.k!r} asks for {largest} components, but the synthetic corpus has "
                f"{self.corpus.synthetic.components}; lower k or raise "
                "corpus.synthetic.components"
            )
        if self.mixture.components is not None and largest > len(self.mixture.components):
            raise ValueError(
                f"k = {self.k!r} asks for {largest} components, but mixture.components pins "
                f"{len(self.mixture.components)}"
            )
        return self

    @property
    def runs(self) -> list[int]:
        """The values of K to run, ascending."""
        return parse_k(self.k, self.n_components)

    @property
    def n_components(self) -> int:
        """How many components the design has."""
        pinned = self.mixture.components
        return len(pinned) if pinned is not None else self.mixture.top_n


def validate_parameters(raw: dict[str, Any]) -> Parameters:
    """Turn merged configuration into :class:`Parameters`, with top_n raised to the largest K.

    Raises
    ------
    ErgokedroError
        One message that names every offending key, its value and what is allowed.
    """
    try:
        parameters = Parameters.model_validate(raw)
    except ValidationError as error:
        lines = [_describe(item) for item in error.errors()]
        raise ErgokedroError("Invalid parameters:\n  " + "\n  ".join(lines)) from None
    # k = 7 means a design with at least seven components.
    top_n = max(parameters.mixture.top_n, *parameters.runs)
    mixture = parameters.mixture.model_copy(update={"top_n": top_n})
    return parameters.model_copy(update={"mixture": mixture})


def _describe(item: Any) -> str:
    """One line for one pydantic error."""
    key = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key (known here: {', '.join(_known_keys(item['loc']))})"
    if not key:
        return str(message)
    if item["type"] == "model_type":
        message = "not a value but a group: indent its settings below it, or name one, as in a.b=1"
    if item["type"] == "string_type" and isinstance(item["input"], bool | int | float):
        message = _how_to_quote(key, item["loc"])
    return f"{key} = {item['input']!r}: {message}"


def _how_to_quote(key: str, location: tuple[Any, ...]) -> str:
    """What to write where YAML has read text such as 2024, 1234e56 or NO as something else."""
    in_list = isinstance(location[-1], int)
    name = ".".join(str(part) for part in location[: -1 if in_list else None])
    value = '["NO", "SE"]' if in_list else '"..."'
    return (
        "this should be text, but YAML reads it as a number or as true or false. Put it in quotes: "
        f"{name.split('.')[-1]}: {value} in a file, --params '{name}={value}' on the command line"
    )


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    """The allowed keys beside the unknown one at `location`."""
    model: Any = Parameters
    for part in location[:-1]:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)


def parse_k(value: int | str, default_largest: int) -> list[int]:
    """Read the `k` setting.

    Parameters
    ----------
    value : 'all', an int, 'a-b' (inclusive) or 'a+b+c'; forms may be combined ('1+3-5').
    default_largest : what 'all' stands for: 1..default_largest.

    Returns
    -------
    Ascending values of K without repeats.

    Raises
    ------
    ErgokedroError
        If the text has another form or a K lies outside 1..64.
    """
    text = str(value).strip()
    if text == "all":
        return list(range(1, default_largest + 1))
    chosen: set[int] = set()
    for part in text.split("+"):
        match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
        if match is None or isinstance(value, bool):
            raise ErgokedroError(f"k = {value!r} is not understood; give {_K_FORMS}.")
        low = int(match[1])
        high = int(match[2] or low)
        if not 1 <= low <= high <= LARGEST_K:
            raise ErgokedroError(
                f"k = {value!r}: K counts components, so it lies in 1..{LARGEST_K} and a range "
                "ascends."
            )
        chosen.update(range(low, high + 1))
    return sorted(chosen)
