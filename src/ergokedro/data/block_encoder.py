"""Encoding blocks of texts, in this process or in others, which may be on other machines."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xxhash

from ergokedro.data.encoder import Encoded, choose_encoder, encode_for_store, without_reserved
from ergokedro.data.tokenizer import Tokenizer
from ergokedro.errors import ErgokedroError

# Documents per call of the encoder: enough for all its threads, in bounded memory.
_CALL_DOCUMENTS = 256


@dataclass(frozen=True)
class Block:
    """Texts of consecutive documents.

    Attributes
    ----------
    number : of the block.
    first_document : number of the document that the first text is of.
    """

    number: int
    first_document: int
    texts: list[str]


@dataclass(frozen=True)
class EncodedBlock:
    """A block's tokens.

    Attributes
    ----------
    documents, characters : of the block.
    content : the number of documents and their lengths, uint32 each, then the tokens.
    """

    number: int
    documents: int
    characters: int
    content: bytes


class BlockEncoder:
    """Encodes blocks. Pickled, it is all of a tokenizer that another machine needs.

    Parameters
    ----------
    sample : texts that the encoder is chosen by.
    expected : hash of the sample's ids in the process that this object comes from.

    Raises
    ------
    ErgokedroError
        If the ids are others here.
    """

    def __init__(self, tokenizer: Tokenizer, sample: list[str], expected: str | None = None):
        chosen = choose_encoder(tokenizer, sample)
        encode = without_reserved(chosen, tokenizer)
        self._encode = partial(encode_for_store, encode, vocab_size=tokenizer.vocab_size)
        self._tokenizer, self._sample = tokenizer, sample
        self._hash = _hash(chosen(sample))
        if expected not in (None, self._hash):
            raise ErgokedroError(
                f"tokenizer.source = {tokenizer.source!r} gives other ids on the node "
                f"{platform.node()} than where the command was started. Install the same versions "
                "of tokenizers and fastokens on both."
            )

    def __reduce__(self) -> tuple[Callable[..., BlockEncoder], tuple[object, ...]]:
        files = {file.name: file.read_bytes() for file in self._tokenizer.path.iterdir()}
        return _unpack, (files, self._sample, self._hash)

    def __call__(self, block: Block) -> EncodedBlock:
        """Encode a block.

        Raises
        ------
        ErgokedroError
            As :func:`ergokedro.data.encoder.encode_for_store`.
        """
        content = _encode_block(block.texts, self._encode, block.first_document)
        characters = sum(map(len, block.texts))
        return EncodedBlock(block.number, len(block.texts), characters, content)


def _unpack(files: dict[str, bytes], sample: list[str], expected: str) -> BlockEncoder:
    """The encoder of a tokenizer of which there are the files' contents alone."""
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return BlockEncoder(Tokenizer(folder), sample, expected)


def _hash(encoded: Encoded) -> str:
    return xxhash.xxh3_128_hexdigest(b"".join(array.tobytes() for array in encoded))


def _encode_block(
    texts: list[str], encode: Callable[[list[str], int], Encoded], first_document: int
) -> bytes:
    parts, lengths = [], []
    for start in range(0, len(texts), _CALL_DOCUMENTS):
        call = texts[start : start + _CALL_DOCUMENTS]
        ids, sizes = encode(call, first_document + start)
        parts.append(ids.tobytes())
        lengths.append(sizes.astype("<u4").tobytes())
    return b"".join([np.array([len(texts)], dtype="<u4").tobytes(), *lengths, *parts])


def split_block(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Document lengths (uint32) and the bytes of the tokens of an encoded block's content, mapped.

    Parameters
    ----------
    file : that holds :attr:`EncodedBlock.content`.
    """
    # As a plain array: slicing a numpy.memmap is ten times slower.
    raw = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
    stop = 4 * (1 + int(raw[:4].view("<u4")[0]))
    return raw[4:stop].view("<u4"), raw[stop:]
