"""What the results say, as numbers and decisions. The words are in templates/sentences.j2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ergokedro.analysis.controls import CONTROLS
from ergokedro.design.evaluation_windows import FEW_DOCUMENTS
from ergokedro.design.mixture import Design
from ergokedro.reporting.decomposition import Cost, Naming, find_cost, find_naming
from ergokedro.reporting.results import (
    Estimate,
    distinguishability_rows,
    headline_series,
    pick_rows,
)
from ergokedro.reporting.seeds import (
    PseudoControl,
    SeedSpread,
    find_pseudo,
    find_spread,
    seed_noise,
)

_HARDLY_TRAINED = 0.5  # nats above the optimum


@dataclass(frozen=True)
class ByK:
    """An estimate of one K, nats per token."""

    k: int
    estimate: Estimate


@dataclass(frozen=True)
class ShapeError:
    """How far a curve in K misses the K that it was not fitted to, nats per token.

    Attributes
    ----------
    to_log : less the error of a + b log K; None for that itself.
    """

    shape: str
    error: Estimate
    to_log: Estimate | None


@dataclass(frozen=True)
class Level:
    """The level of validation XE that was set, and which K took the fewest and the most tokens.

    Attributes
    ----------
    never : those K that did not reach it.
    """

    level: float
    first_k: int
    first_tokens: float
    last_k: int
    last_tokens: float
    never: list[int]


@dataclass(frozen=True)
class Pair:
    """How much worse the specialist of another component reads a component's text."""

    specialist: str
    component: str
    estimate: Estimate


@dataclass(frozen=True)
class ControlRows:
    """The results of a control that brings its own sentences.

    Attributes
    ----------
    sentences : Jinja template of :class:`ergokedro.analysis.controls.Control`.
    rows : of its series, on one split.
    settings : of all controls.
    """

    sentences: str
    rows: list[Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """All that the report says in sentences; what was not measured is empty or None.

    Attributes
    ----------
    smallest : the smallest component.
    few_documents : how many test documents the smallest component has, where they are few.
    gains : in-context gain on the smallest component, of the smallest and the largest K.
    excesses : over the exact optimum, for each K.
    end_of_text : part of the excess of the smallest K that the end-of-text token accounts for.
    hardly_trained : the largest excess, where it is so large that nothing else means much.
    cost, naming : of the largest K.
    pseudo, seed_spread, seed_noise : what the controls say; see :mod:`ergokedro.reporting.seeds`.
    controls : those that bring their own sentences.
    slope : of XE on log K.
    shapes : how well curves in K predict a K that they have not seen, in the headline's series.
    train_gaps : held-out XE less training loss, of the smallest and the largest K.
    extremes : the pairs of components that are hardest and easiest to tell apart.
    """

    smallest: str
    few_documents: int | None
    gains: list[ByK]
    excesses: list[ByK]
    end_of_text: ByK | None
    hardly_trained: float | None
    cost: Cost | None
    naming: Naming | None
    pseudo: list[PseudoControl]
    seed_spread: list[SeedSpread]
    seed_noise: float | None
    controls: list[ControlRows]
    slope: Estimate | None
    shapes: list[ShapeError]
    level: Level | None
    train_gaps: list[ByK]
    extremes: tuple[Pair, Pair] | None

    @property
    def any_control(self) -> bool:
        """A control has something to say."""
        return bool(self.pseudo or self.seed_spread or self.controls)


def find(
    results: pd.DataFrame, design: Design, settings: Mapping[str, Any], split: str = "test"
) -> Findings:
    """Everything that the results of one split say.

    Parameters
    ----------
    settings : of the controls.
    """
    excesses = _by_k(results, "excess", "chain", split)
    gains = _by_k(results, "in_context_gain", "smallest", split)
    slopes = results[(results.split == split) & (results.quantity == "slope_log_k")]
    cost = find_cost(results, split)
    noise = seed_noise(results, split)
    return Findings(
        smallest=design.components[0],
        few_documents=_few_documents(results, split),
        gains=gains[:1] + gains[1:][-1:],
        excesses=excesses,
        end_of_text=next(iter(_by_k(results, "end_of_text_excess", "chain", split)), None),
        hardly_trained=_hardly_trained(excesses),
        cost=cost,
        naming=find_naming(results, split, cost.k) if cost else None,
        pseudo=find_pseudo(results, split, noise),
        seed_spread=find_spread(results, split),
        seed_noise=noise,
        controls=_controls(results[results.split == split], settings),
        slope=Estimate.of(slopes.iloc[0]) if len(slopes) else None,
        shapes=_shapes(results, split),
        level=_level(results),
        train_gaps=_train_gaps(results, split),
        extremes=_extremes(results, split),
    )


def _controls(results: pd.DataFrame, settings: Mapping[str, Any]) -> list[ControlRows]:
    talking = [control for control in CONTROLS.values() if control.sentences]
    rows = {c.series: list(results[results.series == c.series].itertuples()) for c in talking}
    return [ControlRows(c.sentences, rows[c.series], settings) for c in talking if rows[c.series]]


def _by_k(results: pd.DataFrame, quantity: str, series: str, split: str) -> list[ByK]:
    rows = pick_rows(results, quantity, series, split)
    return [ByK(row.k, Estimate.of(row)) for row in rows.itertuples()]


def _few_documents(results: pd.DataFrame, split: str) -> int | None:
    documents = pick_rows(results, "difference_to_k1", "smallest", split).documents
    few = len(documents) > 0 and documents.min() < FEW_DOCUMENTS
    return int(documents.min()) if few else None


def _hardly_trained(excesses: list[ByK]) -> float | None:
    largest = max((excess.estimate.value for excess in excesses), default=0.0)
    return largest if largest > _HARDLY_TRAINED else None


def _shapes(results: pd.DataFrame, split: str) -> list[ShapeError]:
    series = headline_series(results, split)
    errors, to_log = (
        {row.run: Estimate.of(row) for row in pick_rows(results, q, series, split).itertuples()}
        for q in ("shape_error", "shape_error_to_log")
    )
    return [ShapeError(name, error, to_log.get(name)) for name, error in errors.items()]


def _level(results: pd.DataFrame) -> Level | None:
    tokens = results[results.quantity == "tokens_to_level"].sort_values("value")
    reached = tokens[tokens.value.notna()]
    if len(reached) < 2:
        return None
    level = results[results.quantity == "level"].value.iloc[0]
    first, last = reached.iloc[0], reached.iloc[-1]
    never = sorted(tokens.k[tokens.value.isna()])
    return Level(float(level), int(first.k), first.value, int(last.k), last.value, never)


def _train_gaps(results: pd.DataFrame, split: str) -> list[ByK]:
    gaps = results[(results.split == split) & (results.quantity == "train_gap")]
    ends = gaps[gaps.k.isin([gaps.k.min(), gaps.k.max()])]
    return [ByK(row.k, Estimate.of(row)) for row in ends.itertuples()]


def _extremes(results: pd.DataFrame, split: str) -> tuple[Pair, Pair] | None:
    rows = distinguishability_rows(results, split)
    others = rows[~rows.trained.astype(bool)].sort_values("value")
    if others.empty:
        return None
    ends = others.iloc[[0, -1]].itertuples()
    least, most = (Pair(row.specialist, row.component, Estimate.of(row)) for row in ends)
    return least, most
