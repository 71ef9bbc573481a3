"""The file that every number of the analysis comes from: NLL by held-out window and position."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from ergokedro.data.tokenizer import Tokenizer
from ergokedro.design.records import ExactMeta, NLLMeta, Record, ReferenceMeta, RunSummary
from ergokedro.errors import ErgokedroError
from ergokedro.files import canonical_json, write_atomic

_META = "meta"
_LENGTHS_AT = 26  # in the header of a zip file's member
_RECORD: TypeAdapter[NLLMeta | ReferenceMeta | ExactMeta] = TypeAdapter(
    NLLMeta | ReferenceMeta | ExactMeta
)
Meta = TypeVar("Meta", bound=Record)


@dataclass(frozen=True)
class Arrays(Generic[Meta]):
    """Negative log-likelihoods of one predictor.

    Attributes
    ----------
    nll : per split, float32 (windows, window_length - 1), nats; column t is the prediction of
        token t + 2 of the window from the t + 1 before it. Rows follow the evaluation windows.
    meta : where they come from.
    """

    nll: dict[str, np.ndarray]
    meta: Meta


# Of a trained model, of a published one, and of exact predictors, by 'split/name', where the
# sources are known.
NLLArrays = Arrays[NLLMeta]
ReferenceNLL = Arrays[ReferenceMeta]
ExactNLL = Arrays[ExactMeta]


def save_nll(path: Path, arrays: NLLArrays | ReferenceNLL | ExactNLL) -> None:
    """Write one `.npz` file, atomically; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    meta = np.frombuffer(canonical_json(arrays.meta.model_dump(mode="json")), dtype=np.uint8)
    content = {name: arrays.nll[name] for name in sorted(arrays.nll)}
    np.savez(buffer, allow_pickle=False, **{_META: meta, **content})
    write_atomic(Path(path), buffer.getvalue())


def load_nll(path: Path) -> Arrays[Any]:
    """Read what :func:`save_nll` wrote, with its record.

    The arrays are checked and then mapped, read-only, so that those of hundreds of runs need no
    memory of their own. The file does not stay open: a process may open about a thousand.

    Raises
    ------
    ErgokedroError
        If there is no such file, or it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} differs")
            with pa.memory_map(str(path)) as file:
                mapped = file.read_buffer()
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            content = {name: _view(mapped, archive, info) for name, info in members.items()}
        meta = _RECORD.validate_json(content.pop(_META).tobytes())
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise ErgokedroError(
            f"{path} holds no readable NLL arrays ({error}); run `kedro run --pipelines training`."
        ) from error
    return Arrays(content, meta)


def _view(mapped: pa.Buffer, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array of a file of :func:`numpy.savez`, which compresses nothing."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    with archive.open(member) as file:
        np.lib.format.read_magic(file)  # of version 1.0, as of every array without named fields
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
        header = file.tell()
    start = member.header_offset + _LENGTHS_AT
    # Of name and extra field, which may differ from those in the archive's directory.
    lengths = sum(struct.unpack_from("<HH", mapped, start))
    values = np.frombuffer(mapped, dtype, math.prod(shape), start + 4 + lengths + header)
    return values.reshape(shape, order="F" if by_column else "C")


def find_nll(path: Path, meta: Meta) -> Arrays[Meta] | None:
    """The arrays in `path`, if there are some and `meta` is what made them."""
    try:
        arrays = load_nll(path)
    except ErgokedroError:
        return None
    return arrays if arrays.meta == meta else None


def check_measured(nll: NLLArrays, summary: RunSummary, tokenizer: Tokenizer) -> None:
    """Refuse arrays that were measured with another model or tokenizer.

    Raises
    ------
    ErgokedroError
        With the command that measures again.
    """
    made_with = nll.meta.fingerprints
    if made_with.weights != summary.final_weights or made_with.tokenizer != tokenizer.fingerprint:
        raise ErgokedroError(
            f"The NLL of {summary.run} was measured with another model or tokenizer. Run "
            f"`kedro run --pipelines training --params k={summary.k}` to measure it again."
        )
