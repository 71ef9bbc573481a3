"""What a design and its manifests give each K, as a table and in sentences."""

from __future__ import annotations

import pandas as pd

from ergokedro.design.budget import is_adjusted
from ergokedro.design.component_text import count_tokens
from ergokedro.design.mixture import Design, Manifest, share_budget
from ergokedro.design.runs import chain
from ergokedro.errors import ErgokedroError

_LISTED = 10  # categories in a line


def tabulate_budgets(design: Design) -> pd.DataFrame:
    """What every K of the design would train on, whether it is run or not.

    Returns
    -------
    One row per K and component: k, component, windows (per epoch), tokens, share (of D), adjusted
    (not an equal share, because a component is too small) and uneven (K does not divide the
    windows, so that shares differ by one). A K whose components cannot give D together has one
    row, '(too small for D)', with nothing.
    """
    total = design.total_windows
    rows: list[tuple[int, str, int, bool]] = []
    for k in range(1, len(design.components) + 1):
        try:
            shares = share_budget(design, chain(k))
        except ErgokedroError:
            rows.append((k, "(too small for D)", 0, True))
            continue
        rows.extend((k, label, n, is_adjusted(n, k, total)) for label, n in shares.items())
    table = pd.DataFrame(rows, columns=["k", "component", "windows", "adjusted"])
    table.insert(3, "tokens", table.windows * design.window_length)
    table.insert(4, "share", table.windows / total)
    return table.assign(uneven=total % table.k != 0)


def describe(design: Design) -> str:
    """One line: the components with their training tokens, what decides D, and what is not used."""
    tokens = design.tokens
    listed = ", ".join(f"{label} {tokens[label]:,}" for label in design.components)
    line = f"Components by training tokens: {listed}. D = {design.total_tokens:,} for every K"
    uneven = [str(k) for k in range(1, len(tokens) + 1) if design.total_windows % k]
    if uneven:
        line += f"; for K = {', '.join(uneven)} the components' shares differ by one window"
    smallest, second = [*tokens.values(), max(tokens.values())][:2]
    if smallest * 5 < second and design.total_tokens <= smallest:
        line += (
            f"; all that {design.components[0]} has: without it (mixture.components or "
            "mixture.top_n) D would be several times as large"
        )
    others = [label for label in design.rankings["tokens"] if label not in tokens]
    if others:
        listed = ", ".join(others[:_LISTED]) + (", …" if len(others) > _LISTED else "")
        line += f". Categories that are not used: {len(others):,} ({listed})"
    return line


def describe_texts(manifests: list[Manifest]) -> list[str]:
    """A line if windows leave out text, and one if draws have text in common."""
    lines = []
    chain = [m for m in manifests if m.in_chain]
    left_out = [_left_out(manifest) for manifest in chain if manifest.within_documents]
    if left_out:
        lines.append(
            "mixture.within_documents = true leaves tokens out of every epoch, at random places "
            f"in documents, and always documents shorter than a window: {'; '.join(left_out)}"
        )
    common = [f"{share:.0%} at K = {k}" for k, share in common_text(manifests).items() if share]
    if common:
        lines.append(
            "Components are too short for as many draws without common text. Two draws of a run "
            f"share up to {', '.join(common)}; a lower mixture.total_tokens makes them disjoint"
        )
    return lines


def common_text(manifests: list[Manifest]) -> dict[int, float]:
    """K -> the largest share of a run's text that another draw has, too."""
    shares: dict[int, float] = {}
    for manifest in manifests:
        own = sum(c.overlap * c.windows for c in manifest.components) / manifest.total_windows
        shares[manifest.k] = max(shares.get(manifest.k, 0.0), own)
    return shares


def _left_out(manifest: Manifest) -> str:
    left_out = sum(c.left_out for c in manifest.components)
    too_short = sum(c.too_short for c in manifest.components)
    total = sum(count_tokens(c.spans) for c in manifest.components)
    return f"{manifest.run} {left_out:,} of {total:,} tokens, {too_short:,} of them always"
