"""Nearly equal texts: found by MinHash, listed, and dropped from train with the setting 'drop'.

Two texts are near if the Jaccard similarity of their sets of five-word shingles (lower case,
without punctuation) is at least a threshold. datasketch makes the MinHash signatures
(Broder 1997), from which the similarity is estimated: 128 permutations, so a standard error of
0.035 at 0.8. Candidates come from locality-sensitive hashing in bands (Leskovec, Rajaraman and
Ullman, Mining of Massive Datasets, section 3.4). Only signatures and the first characters of the
texts stay in memory: about 0.7 KB per document.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xxhash

from ergokedro.data.cleaning import KEPT
from ergokedro.data.corpus import Corpus
from ergokedro.progress import progress_bar

log = logging.getLogger(__name__)

# Bytes of text up to which near-duplicates are looked for by default: about 15 s on one core.
LARGEST_BY_DEFAULT = 200_000_000
COLUMNS = [
    "reason", "dropped", "similarity", "document", "split", "label", "text",
    "near_document", "near_split", "near_label", "near_text",
]  # fmt: skip
_PERMUTATIONS = 128
_SEED = 1
_SHINGLE_WORDS = 5
_EXAMPLE_CHARACTERS = 80
# Shingles per call of the library, which holds 128 hashes of 8 bytes for each at once.
_CALL_SHINGLES = 2**14
# Smallest share of the pairs at the threshold that the bands must find.
_RECALL = 0.99
_WORD = re.compile(r"\w+")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def find_near_duplicates(
    corpus: Corpus, documents: pd.DataFrame, threshold: float, drop: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Near-duplicates among the kept documents, over all splits and categories.

    A training document near a held-out one, or else near an earlier training document that is
    not a near-duplicate itself, is one; so is a held-out document near an earlier held-out one,
    which is listed but never dropped. Documents without a word are compared with none.

    Parameters
    ----------
    documents : of :func:`ergokedro.data.cleaning.clean_documents`.
    threshold : Jaccard similarity, 0.5 to 1.
    drop : change the status of those in train.

    Returns
    -------
    documents : as given; with `drop`, the statuses 'near_heldout' and 'near_duplicate' in train.
    found : one row per near-duplicate, columns COLUMNS: the reason ('near_heldout',
        'near_duplicate' or 'within_heldout'), whether it was dropped, the estimated similarity,
        then number, split, label and first 80 characters of the document and of the one that
        it is nearest to.
    """
    numbers, signatures, texts = _sign(corpus, (documents.status == KEPT).to_numpy())
    heldout = (documents.split != "train").to_numpy()[numbers]
    rows = []
    for i, j, similarity in _nearest_earlier(signatures, heldout, threshold):
        reason = (
            "within_heldout" if heldout[i] else "near_heldout" if heldout[j] else "near_duplicate"
        )
        rows.append((reason, drop and not heldout[i], similarity, numbers[i], numbers[j]))
    pairs = pd.DataFrame(rows, columns=["reason", "dropped", "similarity", "document", "near"])
    if drop:
        gone = pairs[pairs.dropped.astype(bool)]
        documents = documents.copy()
        documents.loc[gone.document, "status"] = gone.reason.to_numpy()
    return documents, _describe(pairs, documents, pd.Series(texts, numbers, dtype="object"))


def search_mode(setting: str, source: str, corpus: Corpus) -> str:
    """What `corpus.near_duplicates` asks for: 'off', 'report' or 'drop'.

    'auto' is 'report', but 'off' for synthetic text, which has none, and for a corpus so large that
    a search takes more than some seconds.
    """
    if setting != "auto":
        return setting
    if source == "synthetic":
        return "off"
    if corpus.size > LARGEST_BY_DEFAULT:
        log.info(
            "Near-duplicates were not looked for: the corpus has %.0f MB of text, and that is done "
            "by default up to %.0f MB only. corpus.near_duplicates=report looks for them.",
            corpus.size / 1e6,
            LARGEST_BY_DEFAULT / 1e6,
        )
        return "off"
    return "report"


def none_found() -> pd.DataFrame:
    """The table where no search was made."""
    return pd.DataFrame(columns=COLUMNS)


def _describe(pairs: pd.DataFrame, documents: pd.DataFrame, texts: pd.Series) -> pd.DataFrame:
    """Describe the documents of every pair, in the order of the documents."""
    pairs = pairs.sort_values("document", ignore_index=True)
    table = pairs[["reason", "dropped", "similarity"]].copy()
    for prefix, number in (("", pairs.document), ("near_", pairs.near)):
        table[f"{prefix}document"] = number.astype("int64")
        table[f"{prefix}split"] = documents.split.loc[number].to_numpy()
        table[f"{prefix}label"] = documents.label.loc[number].to_numpy()
        table[f"{prefix}text"] = texts.loc[number].to_numpy()
    return table[COLUMNS]


def _sign(corpus: Corpus, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Numbers (int64), signatures (uint32, n x 128) and beginnings of kept documents with words."""
    from datasketch import MinHash  # brings scipy along, which takes time

    minhash = MinHash(_PERMUTATIONS, seed=_SEED, hashfunc=int)
    numbers, signatures, texts = [], [], []
    first = 0
    with progress_bar("near-duplicates", total=len(kept), unit="documents") as bar:
        for split, group in corpus.blocks():
            block = corpus.read_block(split, group)["text"].to_pylist()
            for number in first + np.flatnonzero(kept[first : first + len(block)]):
                text = block[number - first]
                shingles = shingle_hashes(text)
                if len(shingles):
                    minhash.clear()
                    for start in range(0, len(shingles), _CALL_SHINGLES):
                        minhash.update_batch(shingles[start : start + _CALL_SHINGLES])
                    numbers.append(number)
                    signatures.append(minhash.hashvalues.astype(np.uint32))
                    texts.append(" ".join(text[: 4 * _EXAMPLE_CHARACTERS].split()))
            first += len(block)
            bar.update(len(block))
    matrix = np.array(signatures, dtype=np.uint32).reshape(-1, _PERMUTATIONS)
    return np.array(numbers, dtype=np.int64), matrix, [t[:_EXAMPLE_CHARACTERS] for t in texts]


def shingle_hashes(text: str) -> np.ndarray:
    """32-bit hashes (in uint64, unique, ascending) of a text's runs of five words.

    A shorter text is one run; a text without words has none.
    """
    words = _WORD.findall(unicodedata.normalize("NFC", text).casefold())
    if not words:
        return np.array([], dtype=np.uint64)
    hashes = np.array([xxhash.xxh3_64_intdigest(word.encode()) for word in words], dtype=np.uint64)
    n = max(1, len(hashes) - _SHINGLE_WORDS + 1)
    mixed = np.zeros(n, dtype=np.uint64)
    for position in range(min(_SHINGLE_WORDS, len(hashes))):
        mixed = mixed * _FACTOR + hashes[position : position + n]
    return np.unique((mixed * _FACTOR) >> np.uint64(32))


def _nearest_earlier(
    signatures: np.ndarray, heldout: np.ndarray, threshold: float
) -> Iterator[tuple[int, int, float]]:
    """(row, the nearest earlier row, similarity) of every near-duplicate; held-out rows first.

    Later rows are not compared with a training row that is a near-duplicate itself, so that a
    chain of small changes does not link texts that differ.
    """
    keys = _band_keys(signatures, threshold)
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in [*np.flatnonzero(heldout), *np.flatnonzero(~heldout)]:
        own = [(band, key) for band, key in enumerate(keys[row].tolist()) if key]
        candidates = sorted({other for bucket in own for other in buckets.get(bucket, ())})
        near = np.array(candidates, dtype=np.int64)
        similarity = (signatures[near] == signatures[row]).mean(axis=1)
        # Pairs with held-out text come first: they matter more.
        order = np.lexsort((-similarity, ~heldout[near]))
        best = next((int(index) for index in order if similarity[index] >= threshold), None)
        if best is not None:
            yield int(row), int(near[best]), float(similarity[best])
        if best is None or heldout[row]:
            for bucket in own:
                buckets[bucket].append(int(row))


def _band_keys(signatures: np.ndarray, threshold: float) -> np.ndarray:
    """Hash of every band of every signature (uint64, n x bands); 0 where no other row has it.

    Most documents resemble no other, so most keys are 0 and the buckets stay small.
    """
    bands, width = choose_bands(threshold)
    keys = np.zeros((len(signatures), bands), dtype=np.uint64)
    for band in range(bands):
        mixed = np.zeros(len(signatures), dtype=np.uint64)
        for column in signatures[:, band * width : (band + 1) * width].T:
            mixed = mixed * _FACTOR + column
        values, inverse, counts = np.unique(mixed, return_inverse=True, return_counts=True)
        keys[:, band] = np.where(counts > 1, np.maximum(values, 1), 0)[inverse]
    return keys


def choose_bands(threshold: float) -> tuple[int, int]:
    """Number and width of the bands: the widest that find 99 % of the pairs at the threshold.

    A pair of similarity s agrees in one of b bands of width r with probability 1 - (1 - s^r)^b.
    """
    for width in range(_PERMUTATIONS, 1, -1):
        bands = _PERMUTATIONS // width
        if 1 - (1 - threshold**width) ** bands >= _RECALL:
            return bands, width
    return _PERMUTATIONS, 1
