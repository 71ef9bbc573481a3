"""Who trains on what: the budget, one manifest per K, and the windows that measure them all."""

from __future__ import annotations

from math import lcm
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, computed_field

from ergokedro.data.token_store import TokenStore
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.accounting import choose_components, explain_choice, rank_categories
from ergokedro.design.runs import Run, chain
from ergokedro.errors import ErgokedroError
from ergokedro.files import fingerprint
from ergokedro.parameters import MixtureParameters


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(_Frozen):
    """One component's part of a manifest.

    `start` and `stop` bound its tokens in the store (int64 offsets, exclusive end); `windows` is
    what it gives an epoch; `available_windows` what it could give; `adjusted` says that it was too
    small for an equal share, or gives more because another was.
    """

    label: str
    start: int
    stop: int
    windows: int
    available_windows: int
    adjusted: bool


class Manifest(_Frozen):
    """What one run trains on. Fingerprints tie it to one store and one tokenizer.

    `repeats` multiplies the epochs, `seed_offset` is added to the seed: 1 and 0 but for controls.
    """

    run: str
    k: int
    window_length: int
    within_documents: bool
    total_tokens: int
    components: list[Component]
    store: str
    tokenizer: str
    repeats: int = 1
    seed_offset: int = 0

    @property
    def total_windows(self) -> int:
        """Windows in an epoch: `total_tokens / window_length`."""
        return sum(component.windows for component in self.components)

    @property
    def labels(self) -> list[str]:
        """Names of the components trained on."""
        return [component.label for component in self.components]

    @property
    def fingerprint(self) -> str:
        """Hash of the content."""
        return fingerprint(self.model_dump(mode="json"))

    @property
    def order_key(self) -> int:
        """Seed material of the window order: the token ranges alone, so that a store written by
        another version of a library gives the same order."""
        not_ranges = {"store", "tokenizer", "repeats", "seed_offset"}
        return int(fingerprint(self.model_dump(mode="json", exclude=not_ranges)), 16)


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

    @computed_field  # type: ignore[prop-decorator]
    @property
    def fingerprint(self) -> str:
        """Hash of the content."""
        return fingerprint(self.model_dump(mode="json", exclude={"fingerprint"}))


def design_mixtures(
    store: TokenStore, accounting: pd.DataFrame, params: MixtureParameters
) -> Design:
    """Choose the components and the budget D.

    D is the tokens of the smallest component (or `params.total_tokens`), rounded down so that
    every K up to the number of components divides it into whole windows.

    Raises
    ------
    ErgokedroError
        If D comes out as zero, or the components together cannot give it.
    """
    components = choose_components(accounting, params)
    n = len(components)
    tokens = {c: store.span("train", c)[1] - store.span("train", c)[0] for c in components}
    windows = {c: _available_windows(store, c, params) for c in components}
    unit = lcm(*range(1, n + 1))
    wanted = (
        windows[components[0]]
        if params.total_tokens is None
        else params.total_tokens // params.window_length
    )
    total = wanted // unit * unit
    if total == 0:
        raise ErgokedroError(
            f"D would be zero: {n} components need a budget of at least "
            f"{unit * params.window_length:,} tokens, so that every K divides it into whole "
            f"windows, but it is {wanted * params.window_length:,} ({components[0]} is the "
            "smallest). Lower mixture.top_n, pin larger mixture.components, or raise "
            "mixture.total_tokens."
        )
    rankings = rank_categories(accounting)
    return Design(
        components=components,
        tokens=tokens,
        available_windows=windows,
        total_tokens=total * params.window_length,
        window_length=params.window_length,
        within_documents=params.within_documents,
        chosen_by=params.rank_by if params.components is None else "pinned",
        rankings=rankings,
        reason=explain_choice(components, rankings, params),
        store=store.fingerprint,
        tokenizer=store.meta["inputs"]["tokenizer"],
    )


def _available_windows(store: TokenStore, label: str, params: MixtureParameters) -> int:
    """Whole windows that a component's training text can give an epoch."""
    if params.within_documents:
        lengths = store.documents("train", label)["length"].to_numpy()
        return int((lengths // params.window_length).sum())
    start, stop = store.span("train", label)
    return (stop - start) // params.window_length


def water_fill(total: int, capacities: list[int]) -> list[int]:
    """Share `total` equally among parties of limited capacity.

    A party that is too small gives all it has, and the others share the rest equally; units that
    do not divide go to the larger ones. The shares sum to `total` exactly.

    Raises
    ------
    ValueError
        If the capacities together are smaller than `total`.
    """
    if sum(capacities) < total:
        raise ValueError("the capacities are too small")
    shares = [0] * len(capacities)
    rest = total
    for place, i in enumerate(sorted(range(len(capacities)), key=lambda i: (capacities[i], -i))):
        shares[i] = min(capacities[i], rest // (len(capacities) - place))
        rest -= shares[i]
    return shares


def describe(design: Design) -> str:
    """One line: the components with their training tokens, and what decides D."""
    tokens = design.tokens
    each = ", ".join(f"{label} {tokens[label]:,}" for label in design.components)
    line = f"Components by training tokens: {each}. D = {design.total_tokens:,} for every K"
    smallest, second = [*tokens.values(), max(tokens.values())][:2]
    if smallest * 5 < second and design.total_tokens <= smallest:
        line += (
            f", all that {design.components[0]} has: without it (mixture.components or "
            "mixture.top_n) D would be several times as large"
        )
    return line


def share_budget(design: Design, run: Run) -> dict[str, int]:
    """Windows an epoch of each component of a run; equal where their text allows it.

    Raises
    ------
    ErgokedroError
        If the design has fewer components, or they cannot give the tokens together.
    """
    if max(run.components) > len(design.components):
        raise ErgokedroError(
            f"k = {max(run.components)}: the design has {len(design.components)} components."
        )
    labels = [design.components[place - 1] for place in run.components]
    capacities = [design.available_windows[label] for label in labels]
    total = _total_windows(design, run)
    try:
        return dict(zip(labels, water_fill(total, capacities), strict=True))
    except ValueError:
        raise ErgokedroError(
            f"mixture.total_tokens = {design.total_tokens:,}: {run.name} needs "
            f"{total * design.window_length:,} tokens, more than the "
            f"{sum(capacities) * design.window_length:,} of {', '.join(labels)} together; lower "
            f"it, or leave {run.name} out."
        ) from None


def _total_windows(design: Design, run: Run) -> int:
    """Windows an epoch of the whole run."""
    return design.total_tokens // design.window_length // run.divisor * run.k


def tabulate_budgets(design: Design) -> pd.DataFrame:
    """What every K of the design would train on, whether it is run or not.

    Returns
    -------
    One row per K and component: k, component, windows (an epoch), tokens, share (of D) and
    adjusted (not an equal share, see :class:`Component`). A K whose components cannot give D
    together has one row, '(too small for D)', with nothing.
    """
    total = design.total_tokens // design.window_length
    rows = []
    for k in range(1, len(design.components) + 1):
        try:
            shares = share_budget(design, chain(k))
        except ErgokedroError:
            rows.append((k, "(too small for D)", 0, True))
            continue
        rows.extend((k, label, n, n * k != total) for label, n in shares.items())
    table = pd.DataFrame(rows, columns=["k", "component", "windows", "adjusted"])
    table.insert(3, "tokens", table.windows * design.window_length)
    table.insert(4, "share", table.windows / total)
    return table


def make_manifest(store: TokenStore, design: Design, run: Run) -> Manifest:
    """The manifest of one run.

    Raises
    ------
    ErgokedroError
        As :func:`share_budget`.
    """
    components = _split(store, design, run) if run.pseudo else _share(store, design, run)
    return Manifest(
        run=run.name,
        k=run.k,
        window_length=design.window_length,
        within_documents=design.within_documents,
        total_tokens=_total_windows(design, run) * design.window_length,
        components=components,
        store=store.fingerprint,
        tokenizer=design.tokenizer,
        repeats=run.repeats,
        seed_offset=run.seed_offset,
    )


def _share(store: TokenStore, design: Design, run: Run) -> list[Component]:
    """The beginnings of the run's components."""
    shares = share_budget(design, run)
    return [
        Component(
            label=label,
            start=store.span("train", label)[0],
            stop=_stop(store, design, label, windows),
            windows=windows,
            available_windows=design.available_windows[label],
            adjusted=windows * len(shares) != sum(shares.values()),
        )
        for label, windows in shares.items()
    ]


def _split(store: TokenStore, design: Design, run: Run) -> list[Component]:
    """K equal stretches of one component, spread over its text, as if each were one.

    Documents stand in random order, so every stretch is a random sample of them.
    """
    if design.within_documents:
        raise ErgokedroError(
            "controls.pseudo splits a component anywhere; it does not go together with "
            "mixture.within_documents = true. Switch one of them off."
        )
    label = design.components[run.components[0] - 1]
    start, stop = store.span("train", label)
    length, each = design.window_length, _total_windows(design, run) // run.k
    room = (stop - start) // run.k
    if each * length > room:
        raise ErgokedroError(
            f"controls.pseudo: {label} has {stop - start:,} training tokens, fewer than D = "
            f"{design.total_tokens:,}; lower mixture.total_tokens."
        )
    return [
        Component(
            label=label,
            start=start + part * room,
            stop=start + part * room + each * length,
            windows=each,
            available_windows=room // length,
            adjusted=False,
        )
        for part in range(run.k)
    ]


def _stop(store: TokenStore, design: Design, label: str, windows: int) -> int:
    """End of the first tokens of a component that give so many windows."""
    start, _ = store.span("train", label)
    if not design.within_documents:
        return start + windows * design.window_length
    documents = store.documents("train", label)
    lengths = documents["length"].to_numpy()
    last = int(np.searchsorted(np.cumsum(lengths // design.window_length), windows))
    return int(documents["offset"][last].as_py() + lengths[last])


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
