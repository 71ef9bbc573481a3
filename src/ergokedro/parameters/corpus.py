"""Settings of the corpus and of the tokenizer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from ergokedro.parameters.base import Fraction, ParameterGroup, Seed


class SyntheticParameters(ParameterGroup):
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
    seed: Seed = Field(0, description="Seed of the sources and of the documents.")


class CorpusParameters(ParameterGroup):
    """Where labelled documents come from and how they are cleaned."""

    source: str = Field(
        "synthetic",
        min_length=1,
        description=(
            "'synthetic'; 'docstrings', the documentation of installed packages; a name that a "
            "plugin registers; a hub name such as "
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
    max_tokens_per_category: int | None = Field(
        None,
        ge=1,
        description=(
            "Most tokens of a category in each split. The documents are a uniform sample, chosen "
            "by content hash: the same from the same texts, in whatever order they are read."
        ),
    )
    streaming: bool = Field(
        False,
        description=(
            "Read the source once, as a stream, and keep the sample alone: for a corpus that is "
            "larger than the disk. Needs corpus.max_tokens_per_category; eight bytes of text are "
            "kept for each token, from which the tokenizer's count then takes the sample."
        ),
    )
    processes: int = Field(
        1,
        ge=1,
        le=512,
        description=(
            "Processes that read the files of a streamed source, and that tokenize. With RayRunner "
            "those that tokenize are Ray tasks of one core, on any node of the cluster. The result "
            "does not depend on it."
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
    document_order_seed: Seed = Field(
        0, description="Seed of the order of documents inside a component of the store."
    )
    synthetic: SyntheticParameters = SyntheticParameters()

    @model_validator(mode="after")
    def _bounded(self) -> CorpusParameters:
        if self.streaming and self.max_tokens_per_category is None:
            raise ValueError(
                "corpus.streaming = true needs corpus.max_tokens_per_category, the size of what "
                "is kept"
            )
        return self


class TokenizerParameters(ParameterGroup):
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
        512, ge=257, le=1_000_000, description="Largest vocabulary of a trained tokenizer."
    )
