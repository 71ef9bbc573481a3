"""XE in units of the text: bits per byte, and nats per token by position in the document.

Both are ratios of sums over documents, of which every component gives one, and the value is their
mean. Their intervals are those of ratio estimators, as in :mod:`ergokedro.analysis.random_effects`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.random_effects import Estimate
from ergokedro.analysis.series import ByRepeat, ResultRow, Selection
from ergokedro.parameters import AnalysisParameters

_BITS_SERIES = ("component", "all")
_DOCUMENT_SERIES = ("chain", "smallest")


def text_units(experiment: Experiment) -> Iterator[ResultRow]:
    """Rows of every run of the chain.

    Yields
    ------
    - bits_per_byte, for every component and the mean over all of them;
    - in_document_xe, nats per token, for the series chain and smallest, over bins of positions in
      the document; `position` is the geometric middle of the bin.
    """
    for run in experiment.chain:
        tags = experiment.tags(run)
        for split, nll in experiment.nll[run].nll.items():
            for selection in experiment.selections(split, run):
                if selection.series in _BITS_SERIES:
                    yield replace(bits_per_byte(experiment, selection, {(0, 0): nll}), **tags)
                elif selection.series in _DOCUMENT_SERIES:
                    offsets = experiment.windows_of(split).document_offset.to_numpy()
                    curve = by_document_position(nll, offsets, selection, experiment.params)
                    for position, value in curve:
                        yield selection.row("in_document_xe", value, position=position, **tags)


def bits_per_byte(experiment: Experiment, selection: Selection, nll: ByRepeat) -> ResultRow:
    """Bits that the predicted tokens cost, over the bytes of text that they stand for.

    A component's value is (sum of NLL / ln 2) / (sum of bytes), so that categories that a tokenizer
    splits into shorter or longer tokens can be compared.

    Returns
    -------
    The row, without run and K.
    """
    bits = np.stack([values.sum(axis=1, dtype=np.float64) for values in nll.values()]) / math.log(2)
    sizes = experiment.windows_of(selection.split)["bytes"].to_numpy().astype(np.float64)
    value = selection.ratio(bits, sizes, experiment.params, [draw for draw, _ in nll])
    shown = float("nan") if value is None else value
    note = "" if value is not None else "a component has no bytes"
    return selection.row("bits_per_byte", shown, unit="bits per byte", run="", k=0, note=note)


def by_document_position(
    nll: np.ndarray, offsets: np.ndarray, selection: Selection, params: AnalysisParameters
) -> Iterator[tuple[int, Estimate]]:
    """Mean NLL by position in the document, in bins that double.

    Bins end where a component of the selection has fewer than two documents that reach so far: the
    mean over the components would then be over other components, or have no interval.

    Parameters
    ----------
    nll : (windows of the split, W - 1), nats.
    offsets : int (windows of the split,), first token of each window, counted from 0 in its
        document.

    Yields
    ------
    Geometric middle of the bin, and the mean over its tokens, nats per token.
    """
    # Sums of the first n predictions of a window; that of token t of the window, t = 2..W, is at
    # position offset + t of the document.
    sums = np.zeros((len(nll), nll.shape[1] + 1))
    np.cumsum(nll, axis=1, dtype=np.float64, out=sums[:, 1:])
    rows = np.arange(len(nll))
    last = int(offsets[selection.rows].max()) + nll.shape[1] + 1
    for first, stop in document_bins(last):
        low, high = (np.clip(edge - offsets - 2, 0, nll.shape[1]) for edge in (first, stop))
        inside = (sums[rows, high] - sums[rows, low])[None]
        estimate = selection.ratio(inside, (high - low).astype(np.float64), params)
        if estimate is not None and np.isfinite(estimate.standard_error):
            yield round(math.sqrt(first * (stop - 1))), estimate


def document_bins(last: int) -> list[tuple[int, int]]:
    """Bins [first, stop) of the positions 2..last that double: 2-3, 4-7, 8-15, ..."""
    edges = [2**power for power in range(1, last.bit_length() + 1)]
    return [(first, min(2 * first, last + 1)) for first in edges if first <= last]
