"""Settings of the mixtures, of the held-out windows and of the analysis."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    Field,
)

from ergokedro.parameters.base import ParameterGroup, Seed


class MixtureParameters(ParameterGroup):
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


class EvaluationParameters(ParameterGroup):
    """The fixed held-out windows on which every model is measured."""

    windows_per_document: int = Field(
        20,
        ge=1,
        description=(
            "Most windows of a document. They are evenly spaced from a random place on and do not "
            "overlap."
        ),
    )
    max_documents: int | None = Field(
        None,
        ge=1,
        description=(
            "Most documents of a component in each split. Default: all, if evaluation then costs "
            "at most a tenth of a run's training; else fewer windows per document, down to one, "
            "and then fewer documents, but at least 60."
        ),
    )
    seed: Seed = Field(0, description="Seed of the windows' random phases in documents.")
    batch_size: int = Field(64, ge=1, description="Windows per forward pass.")


class AnalysisParameters(ParameterGroup):
    """Intervals of the report, and the variances that plan=true assumes."""

    bootstrap: int = Field(
        2000,
        ge=100,
        description=(
            "Bootstrap replicates over documents, for curve fits, own-text equivalents and the law."
        ),
    )
    level: float | None = Field(
        None,
        gt=0,
        description=(
            "Cross entropy on validation text of the smallest component, nats per token: the "
            "report counts the tokens that every K needs to reach it. Set it before the runs: a "
            "level that is read off them would depend on what it measures. Default: not counted."
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
            "Standard deviation over seeds of the same difference. Default: that of single runs on "
            "the same abstracts, 0.0035, times the square root of 2."
        ),
    )
    assumed_sd_documents: float = Field(
        0.17,
        ge=0,
        description=(
            "Standard deviation over held-out documents of one component of the same difference. "
            "Default: the standard error on the same abstracts, 0.011, times the square root of "
            "250 documents."
        ),
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    seed: Seed = Field(0, description="Seed of the bootstrap.")
