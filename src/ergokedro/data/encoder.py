"""From text to token ids: a fast encoder where it agrees with the reference, else the reference.

The reference is the Hugging Face `tokenizers` library. `fastokens` is many times faster for the
tokenizers that it supports. It is used only if it gives the reference's ids for a sample of the
corpus and for texts on which tokenizers commonly differ.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from ergokedro.data.token_store import token_dtype
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.errors import ErgokedroError

log = logging.getLogger(__name__)

# Concatenated token ids of all texts (unsigned integers), and the number of ids per text (int64).
Encoded = tuple[np.ndarray, np.ndarray]
Encoder = Callable[[Sequence[str]], Encoded]

_TRICKY = (
    "",
    " ",
    "\n\n \t\r\n  x",
    "a" + " " * 60 + "b" + "\n" * 30,
    "<|endoftext|> inside <|padding|>.</s> [UNK] <pad>",
    "\x00\x01\x1b[0m\x7f\x85\u2028\u200b\ufeff\ufffd\ufffe",
    "cafe\u0301 caf\u00e9 \ufb01 \u2126 \u1e9b\u0323 A\u030a",  # several Unicode normal forms
    "Don't WE'LL it\u2019s 1234567890 3.14e-10 x_1^{2} \\alpha$",
    "\u65e5\u672c\u8a9e \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \U0001f469\u200d\U0001f52c",
    "https://arxiv.org/abs/2505.18373?x=%20&y#z " + "ab" * 300,
)


def choose_encoder(tokenizer: Tokenizer, sample: Sequence[str]) -> Encoder:
    """The fast encoder if it agrees with the reference on `sample`, else the reference.

    Parameters
    ----------
    sample : texts of the corpus.
    """
    texts = [*_TRICKY, *sample]
    try:
        fast = fast_encoder(tokenizer)
        expected, quick = reference_encoder(tokenizer)(texts), fast(texts)
    except ImportError:
        log.info("Encoding with tokenizers (fastokens is not installed)")
        return reference_encoder(tokenizer)
    except Exception as error:  # fastokens raises several types for tokenizers it does not support
        log.warning(
            "Encoding with tokenizers: fastokens does not support this tokenizer (%s)", error
        )
        return reference_encoder(tokenizer)
    if not all(np.array_equal(a, b) for a, b in zip(expected, quick, strict=True)):
        log.warning("Encoding with tokenizers: fastokens gives other ids for this tokenizer")
        return reference_encoder(tokenizer)
    log.info("Encoding with fastokens; its ids equal those of tokenizers on %d texts", len(texts))
    return fast


def reference_encoder(tokenizer: Tokenizer) -> Encoder:
    """The `tokenizers` library."""
    backend = tokenizer.backend

    def encode(texts: Sequence[str]) -> Encoded:
        try:
            encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
        except Exception as error:  # `tokenizers` raises no type of its own
            raise ErgokedroError(
                f"tokenizer.source = {tokenizer.source!r} cannot encode the corpus: {error}"
            ) from error
        return _join([np.array(encoding.ids, dtype=np.uint32) for encoding in encodings])

    return encode


def _join(parts: list[np.ndarray]) -> Encoded:
    lengths = np.array([len(part) for part in parts], dtype=np.int64)
    return np.concatenate([np.empty(0, np.uint32), *parts]), lengths


def without_reserved(encode: Encoder, tokenizer: Tokenizer) -> Encoder:
    """The same encoder, but no text is given the tokens that end or begin documents.

    A text that spells such a token is cut inside the spelling, and the pieces are encoded one by
    one.
    """
    reserved = sorted(tokenizer.reserved)

    def encode_texts(texts: Sequence[str]) -> Encoded:
        ids, lengths = encode(texts)
        # One comparison for each is faster than numpy.isin.
        if not any((ids == number).any() for number in reserved):
            return ids, lengths
        parts = np.split(ids, np.cumsum(lengths)[:-1])
        for number, part in enumerate(parts):
            if np.isin(part, reserved).any():
                parts[number], _ = encode_with_ends(texts[number], tokenizer)
        return _join(parts)

    return encode_texts


def encode_with_ends(text: str, tokenizer: Tokenizer) -> Encoded:
    """The tokens of one text as the store holds them, and where each ends.

    The text is cut until none of its tokens is a reserved one.

    Returns
    -------
    ids uint32 (n,) and positions in the text, in characters, int64 (n,), which never fall.
    """
    pieces, ids, ends = [(0, text)], [], [0]
    while pieces:
        first, piece = pieces.pop()
        encoding = tokenizer.backend.encode(piece, add_special_tokens=False)
        spans = zip(encoding.ids, encoding.offsets, strict=True)
        cuts = [_cut(piece, span, tokenizer) for i, span in spans if i in tokenizer.reserved]
        if cuts:
            parts = pairwise([0, *cuts, len(piece)])
            pieces += reversed([(first + a, piece[a:b]) for a, b in parts])  # the first is next
        else:
            ids += encoding.ids
            ends += [first + stop for _, stop in encoding.offsets]
    positions = np.maximum.accumulate(np.array(ends, dtype=np.int64))
    return np.array(ids, dtype=np.uint32), positions[1:]


def _cut(text: str, span: tuple[int, int], tokenizer: Tokenizer) -> int:
    """Where a text is cut so that these characters no longer give a reserved token."""
    start, stop = span
    if stop - start < 2:
        raise ErgokedroError(
            f"tokenizer.source = {tokenizer.source!r} gives the token that ends or begins a text "
            f"for {text[start:stop]!r} in a text, so that documents could not be told apart. "
            "Choose a tokenizer whose end-of-text token stands for nothing else."
        )
    return start + 1


def fast_encoder(tokenizer: Tokenizer) -> Encoder:
    """The `fastokens` library.

    Raises
    ------
    ImportError
        If it is not installed.
    ValueError
        If it does not support the tokenizer.
    """
    from fastokens import Tokenizer as Backend

    backend = Backend.from_file(str(tokenizer.definition))
    backend.no_truncation()

    def encode(texts: Sequence[str]) -> Encoded:
        # Special tokens in a text are text, as in `Tokenizer.backend`.
        ids, offsets = backend.encode_batch_flat(list(texts), split_special_tokens=True)
        return np.frombuffer(ids, "<u4"), np.diff(np.frombuffer(offsets, "<u8")).astype(np.int64)

    return encode


def encode_for_store(
    encode: Encoder, texts: Sequence[str], first_document: int, vocab_size: int
) -> Encoded:
    """Encode the texts of documents `first_document`, … as the store holds them.

    Parameters
    ----------
    vocab_size : the tokenizer's largest id + 1.

    Returns
    -------
    ids of the store's type (n,) and lengths int64 (len(texts),).

    Raises
    ------
    ErgokedroError
        If an id is not in the vocabulary, with the number of the document.
    """
    ids, lengths = encode(texts)
    if len(ids) and ids.max() >= vocab_size:
        index = int((ids >= vocab_size).argmax())
        document = first_document + int(np.searchsorted(np.cumsum(lengths), index, side="right"))
        raise ErgokedroError(
            f"Document {document} of the corpus has the token id {ids[index]:,}, but the "
            f"vocabulary of the tokenizer has ids below {vocab_size:,}. Choose another "
            "tokenizer.source."
        )
    return ids.astype(token_dtype(vocab_size)), lengths
