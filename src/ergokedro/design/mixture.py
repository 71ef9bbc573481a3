"""Which tokens every run trains on: the design that all runs share, and one manifest per run."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, computed_field

from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.accounting import choose_components, explain_choice, rank_categories
from ergokedro.design.budget import choose_total, is_adjusted, water_fill
from ergokedro.design.component_text import (
    ComponentText,
    Span,
    common_tokens,
    component_text,
    count_tokens,
    document_pieces,
)
from ergokedro.design.runs import Run, run_name
from ergokedro.errors import ErgokedroError
from ergokedro.files import fingerprint
from ergokedro.parameters import MixtureParameters


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(_Frozen):
    """One component's part of a manifest.

    Attributes
    ----------
    label : name of the component.
    start, stop : first token and end (exclusive) of its text in the store.
    windows : what it gives per epoch.
    available_windows : what it could give.
    adjusted : it was too small for an equal share, or gives more because another was.
    more_spans : further stretches of the store, in which the text continues after `stop`.
    left_out : tokens of the text that are in no window of an epoch. 0 unless windows stay inside
        documents.
    too_short : those of them in documents shorter than a window, which are in no epoch's windows.
    overlap : share of the text that another draw of the same run has, too; mean over the other
        draws. 0 in draw 0, which does not know of the others.
    """

    label: str
    start: int
    stop: int
    windows: int
    available_windows: int
    adjusted: bool
    more_spans: tuple[Span, ...] = ()
    left_out: int = 0
    too_short: int = 0
    overlap: float = 0.0

    @property
    def spans(self) -> tuple[Span, ...]:
        """All of its text, in order."""
        return ((self.start, self.stop), *self.more_spans)


class Manifest(_Frozen):
    """What one run trains on. Fingerprints tie it to one store and one tokenizer.

    Attributes
    ----------
    repeats : the run's epochs as a multiple of the chain's; 1 except for controls. A whole number
        stays an int, which the fingerprint tells from a float.
    seed_offset : added to the seed; 0 except for controls.
    draw : number of the sample of every component's text.
    uneven : K does not divide the windows of an epoch, so that equal shares differ by one window.
    rate : the run's learning rate as a multiple of the chain's.
    search : the run finds its best number of epochs itself; `repeats` is then the largest.

    The fingerprint leaves `rate` and `search` out where they change nothing, so that it is that of
    manifests from before these fields.
    """

    run: str
    k: int
    window_length: int
    within_documents: bool
    total_tokens: int
    components: list[Component]
    store: str
    tokenizer: str
    repeats: int | float = 1
    seed_offset: int = 0
    draw: int = 0
    uneven: bool = False
    rate: int | float = 1
    search: bool = False

    @property
    def in_chain(self) -> bool:
        """Whether the run is one of the chain K = 1, 2, ..., which no control asked for."""
        return self.run == run_name(self.k)

    @property
    def total_windows(self) -> int:
        """Windows in an epoch: `total_tokens / window_length`."""
        return sum(component.windows for component in self.components)

    def epochs(self, protocol: int) -> int:
        """Passes over the run's tokens: `protocol`, those of the chain, times `repeats`; rounded,
        and at least one. The most, with `search`."""
        return max(1, round(protocol * self.repeats))

    @property
    def labels(self) -> list[str]:
        """Names of the components trained on."""
        return [component.label for component in self.components]

    @property
    def fingerprint(self) -> str:
        """Hash of the content."""
        unchanged = {"rate": self.rate == 1, "search": not self.search}
        exclude = {name for name, is_default in unchanged.items() if is_default}
        return fingerprint(self.model_dump(mode="json", exclude=exclude))

    @property
    def order_key(self) -> int:
        """Seed material of the window order: the token ranges alone, so that a store written by
        another version of a library gives the same order."""
        of_text = {"store", "tokenizer", "draw", "uneven"}
        of_training = {"repeats", "seed_offset", "rate", "search"}
        notes = {"components": {"__all__": {"left_out", "too_short", "overlap"}}}
        exclude = dict.fromkeys(of_text | of_training, True) | notes
        content = self.model_dump(mode="json", exclude=exclude, exclude_defaults=True)
        return int(fingerprint(content), 16)


class Design(_Frozen):
    """The comparison: which components in which order, and the budget of every K.

    `chosen_by` says what chose the components, `rankings` holds all categories by training tokens
    and by training documents (largest first), `reason` puts both into words.
    """

    components: list[str]
    tokens: dict[str, int]
    available_windows: dict[str, int]
    total_tokens: int
    window_length: int
    within_documents: bool
    chosen_by: Literal["tokens", "documents", "pinned"]
    rankings: dict[str, list[str]]
    reason: str
    store: str
    tokenizer: str

    @property
    def total_windows(self) -> int:
        """Windows per epoch of every K."""
        return self.total_tokens // self.window_length

    @computed_field  # type: ignore[prop-decorator]
    @property
    def fingerprint(self) -> str:
        """Hash of the content."""
        return fingerprint(self.model_dump(mode="json", exclude={"fingerprint"}))


def design_mixtures(
    store: TokenStore, accounting: pd.DataFrame, params: MixtureParameters
) -> Design:
    """Choose the components and the budget D.

    D is the tokens of the smallest component (or `params.total_tokens`), in whole windows, rounded
    down by at most 1 % so that as many K as possible divide it; see :func:`choose_total`. It
    depends on the number of components, not on the K that are run: runs made by several commands
    are comparable.

    Raises
    ------
    ErgokedroError
        If D has fewer windows than there are components.
    """
    components = choose_components(accounting, params)
    texts = {c: _text(store, c, params) for c in components}
    length = params.window_length
    smallest = texts[components[0]].windows
    wanted = smallest if params.total_tokens is None else params.total_tokens // length
    if wanted < len(components):
        raise ErgokedroError(
            f"D would be {wanted * length:,} tokens, fewer than one window of {length} tokens for "
            f"each of {len(components)} components ({components[0]} is the smallest). Lower "
            "mixture.top_n, pin larger mixture.components, or raise mixture.total_tokens."
        )
    rankings = rank_categories(accounting)
    return Design(
        components=components,
        tokens={c: int(text.lengths.sum()) for c, text in texts.items()},
        available_windows={c: text.windows for c, text in texts.items()},
        total_tokens=choose_total(wanted, len(components)) * length,
        window_length=length,
        within_documents=params.within_documents,
        chosen_by=params.rank_by if params.components is None else "pinned",
        rankings=rankings,
        reason=explain_choice(components, rankings, params),
        store=store.fingerprint,
        tokenizer=store.meta["inputs"]["tokenizer"],
    )


def _text(store: TokenStore, label: str, source: MixtureParameters | Design) -> ComponentText:
    return component_text(store, label, source.window_length, source.within_documents)


def share_budget(design: Design, run: Run) -> dict[str, int]:
    """Windows per epoch of each component of a run; equal where their text allows it.

    Raises
    ------
    ErgokedroError
        If the design has fewer components, or they cannot give the tokens together.
    """
    if max(run.components) > len(design.components):
        raise ErgokedroError(
            f"k = {max(run.components)}: the design has {len(design.components)} components."
        )
    labels = [design.components[position - 1] for position in run.components]
    capacities = [design.available_windows[label] for label in labels]
    total = _run_windows(design, run)
    try:
        return dict(zip(labels, water_fill(total, capacities), strict=True))
    except ValueError:
        raise ErgokedroError(
            f"mixture.total_tokens = {design.total_tokens:,}: {run.name} needs "
            f"{total * design.window_length:,} tokens, more than the "
            f"{sum(capacities) * design.window_length:,} of {', '.join(labels)} together; lower "
            f"it, or leave {run.name} out."
        ) from None


def _run_windows(design: Design, run: Run) -> int:
    """Windows per epoch of the whole run."""
    return design.total_windows * run.k // run.divisor


def make_manifest(store: TokenStore, design: Design, run: Run) -> Manifest:
    """The manifest of one run.

    Raises
    ------
    ErgokedroError
        As :func:`share_budget`.
    """
    components = _split(store, design, run) if run.pseudo else _share(store, design, run)
    total = sum(component.windows for component in components)
    return Manifest(
        run=run.name,
        k=run.k,
        window_length=design.window_length,
        within_documents=design.within_documents,
        total_tokens=total * design.window_length,
        components=components,
        store=store.fingerprint,
        tokenizer=design.tokenizer,
        repeats=run.repeats,
        seed_offset=run.added_seed,
        draw=run.draw,
        uneven=total % run.k != 0,
        rate=run.rate,
        search=run.search,
    )


def _share(store: TokenStore, design: Design, run: Run) -> list[Component]:
    """The run's components, each with the beginning of its draw."""
    shares = share_budget(design, run)
    total = sum(shares.values())
    components = []
    for label, windows in shares.items():
        text = _text(store, label, design)
        starts = text.draw_starts(run.draws, min(design.total_windows, text.windows))
        spans = [text.spans(start, windows) for start in starts]
        own = _component(store, design, label, spans[run.draw], windows)
        changes = {
            "adjusted": is_adjusted(windows, len(shares), total),
            "overlap": _overlap(own.spans, spans[: run.draw] + spans[run.draw + 1 :]),
        }
        components.append(own.model_copy(update=changes))
    return components


def _split(store: TokenStore, design: Design, run: Run) -> list[Component]:
    """The text that K = 1 has in the same draw, in K equal parts, as if each were a component.

    So K = 1 and K differ in nothing but the order of their windows, and draws, which have no text
    in common where it is long enough, are independent repeats of their difference. Documents stand
    in random order: every part is a random sample of them.
    """
    label = design.components[run.components[0] - 1]
    text = _text(store, label, design)
    total = _run_windows(design, run)
    if text.windows < total:
        raise ErgokedroError(
            f"controls.pseudo: {label} has {design.tokens[label]:,} training tokens, fewer than "
            f"D = {design.total_tokens:,}; lower mixture.total_tokens."
        )
    shares = water_fill(total, [total] * run.k)
    before = (np.cumsum([0, *shares[:-1]]) * text.window_size).tolist()
    parts = list(zip(before, shares, strict=True))
    draws = [
        [text.spans((start + first) % text.size, windows) for first, windows in parts]
        for start in text.draw_starts(run.draws, total)
    ]
    others = [sum(draw, ()) for number, draw in enumerate(draws) if number != run.draw]
    return [
        _component(store, design, label, spans, n).model_copy(
            update={"overlap": _overlap(spans, others)}
        )
        for spans, n in zip(draws[run.draw], shares, strict=True)
    ]


def _component(
    store: TokenStore, design: Design, label: str, spans: tuple[Span, ...], windows: int
) -> Component:
    """A component with an equal share, and what its windows leave out of its text."""
    length, too_short = design.window_length, 0
    if design.within_documents:
        sizes = document_pieces(store.documents("train", label), spans)[1]
        too_short = int(sizes[sizes < length].sum())
    (start, stop), *more = spans
    return Component(
        label=label,
        start=start,
        stop=stop,
        windows=windows,
        available_windows=design.available_windows[label],
        adjusted=False,
        more_spans=tuple(more),
        left_out=count_tokens(spans) - windows * length,
        too_short=too_short,
    )


def _overlap(spans: tuple[Span, ...], others: list[tuple[Span, ...]]) -> float:
    """Share of `spans` that one of `others` has, too, on average."""
    if not others:
        return 0.0
    common = [common_tokens(spans, other) for other in others]
    return float(np.mean(common)) / count_tokens(spans)


def check_tokenizer(store: TokenStore, tokenizer: Tokenizer) -> None:
    """Refuse a store that another tokenizer made.

    Raises
    ------
    ErgokedroError
        With the command that rebuilds the store.
    """
    if store.meta["inputs"]["tokenizer"] != tokenizer.fingerprint:
        raise ErgokedroError(
            "The token store was made with another tokenizer than the present one. Run "
            "`kedro run --pipelines data_processing` to make it anew."
        )


def check_current(manifest: Manifest, store: TokenStore, tokenizer: Tokenizer) -> None:
    """Refuse a manifest that was made for another store or tokenizer.

    Raises
    ------
    ErgokedroError
        Naming what changed and the command that rebuilds it.
    """
    check_tokenizer(store, tokenizer)
    if manifest.store != store.fingerprint:
        raise ErgokedroError(
            f"The manifest of {manifest.run} was made for another token store. Run "
            "`kedro run --pipelines mixture_design` to make it anew."
        )
