"""What the corpus holds, before and after cleaning, and which categories become components."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ergokedro.data.cleaning import KEPT, REASONS
from ergokedro.data.splits import SPLITS
from ergokedro.data.token_store import TokenStore
from ergokedro.errors import ErgokedroError
from ergokedro.parameters import MixtureParameters

RANKINGS = ("tokens", "documents")
_UNKNOWN = "(unknown)"
_QUANTILES = {"p05": 0.05, "median": 0.5, "p95": 0.95}


def token_accounting(store: TokenStore) -> pd.DataFrame:
    """Documents and tokens per split and category, before and after cleaning.

    Every document's end-of-text token is counted, before and after, so that the two compare.

    Returns
    -------
    One row per split and category, and one '(unknown)' per split that has documents without a
    known category ('((unknown))' if '(unknown)' is one): split, label, documents_before,
    tokens_before, documents, tokens, share (of the split's tokens); rank_by_tokens and
    rank_by_documents (of training text after cleaning, 1 is the largest, missing elsewhere); tokens
    a document: p05, median, mean, p95, longest; then the documents dropped for each of
    :data:`ergokedro.data.cleaning.REASONS`.
    """
    counts = pd.DataFrame(store.meta["cleaning"])
    unknown = _UNKNOWN
    while unknown in store.labels:
        unknown = f"({unknown})"
    counts["label"] = counts.label.where(counts.label.isin(store.labels), unknown)
    index = store.index.select(["split", "label", "length"]).to_pandas()
    rows = []
    for split in SPLITS:
        for label in [*store.labels, unknown]:
            own_counts = counts[(counts.split == split) & (counts.label == label)]
            if label == unknown and own_counts.empty:
                continue
            lengths = index.length[(index.split == split) & (index.label == label)]
            rows.append(_accounting_row(split, label, own_counts, lengths))
    table = pd.DataFrame(rows)
    totals = table.groupby("split").tokens.transform("sum")
    table.insert(6, "share", table.tokens / totals.where(totals > 0, 1))
    ranked = table[(table.split == "train") & (table.tokens > 0)]
    for column, by in enumerate(RANKINGS, 7):
        ranks = ranked[by].rank(ascending=False, method="first")
        table.insert(column, f"rank_by_{by}", ranks.reindex(table.index).astype("Int64"))
    return table


def _accounting_row(
    split: str, label: str, counts: pd.DataFrame, lengths: pd.Series
) -> dict[str, Any]:
    dropped = counts[counts.status != KEPT].groupby("status").documents.sum()
    return {
        "split": split,
        "label": label,
        "documents_before": int(counts.documents.sum()),
        "tokens_before": int(counts.tokens.sum() + counts.documents.sum()),
        "documents": len(lengths),
        "tokens": int(lengths.sum()),
        **{name: float(lengths.quantile(q)) for name, q in _QUANTILES.items()},
        "mean": float(lengths.mean()),
        "longest": int(lengths.max()) if len(lengths) else 0,
        **{reason: int(dropped.get(reason, 0)) for reason in REASONS},
    }


def rank_categories(accounting: pd.DataFrame) -> dict[str, list[str]]:
    """Categories with training text, largest first: by 'tokens' and by 'documents'."""
    train = accounting[accounting.rank_by_tokens.notna()]
    return {by: train.sort_values(f"rank_by_{by}").label.to_list() for by in RANKINGS}


def choose_components(accounting: pd.DataFrame, params: MixtureParameters) -> list[str]:
    """The top N categories (or the pinned ones), ascending by training tokens.

    Raises
    ------
    ErgokedroError
        If the corpus has too few categories with training text, or lacks a pinned one.
    """
    ranked = rank_categories(accounting)[params.rank_by]
    labels = ", ".join(sorted(ranked))
    chosen = params.components
    if chosen is None:
        if params.top_n > len(ranked):
            raise ErgokedroError(
                f"mixture.top_n = {params.top_n} (or the largest k): the corpus has {len(ranked)} "
                f"categories with training text: {labels}. Lower mixture.top_n or k."
            )
        chosen = ranked[: params.top_n]
    elif not set(chosen) <= set(ranked) or len(set(chosen)) < len(chosen):
        raise ErgokedroError(
            f"mixture.components = {chosen} must name each category once; the corpus has {labels}."
        )
    train = accounting[(accounting.split == "train") & accounting.label.isin(chosen)]
    return train.sort_values(["tokens", "label"]).label.to_list()


def explain_choice(
    components: list[str], rankings: dict[str, list[str]], params: MixtureParameters
) -> str:
    """One line: what chose the components, and where a ranking would have chosen differently."""
    n = len(components)
    if params.components is None:
        parts = [f"the {n} largest by training {params.rank_by}"]
        others = [by for by in RANKINGS if by != params.rank_by]
    else:
        parts, others = ["pinned by mixture.components"], list(RANKINGS)
    for by in others:
        top = rankings[by][:n]
        instead = ", ".join(label for label in top if label not in components)
        without = ", ".join(label for label in components if label not in top)
        parts.append(
            f"by {by} it would be {instead} instead of {without}"
            if instead
            else f"by {by} the same"
        )
    return "; ".join([*parts, "ascending by training tokens"])
