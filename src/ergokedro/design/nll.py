"""The file that every number of the analysis comes from: NLL by held-out window and position."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
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
Key = TypeVar("Key")


@dataclass(frozen=True)
class Arrays(Generic[Meta]):
    """Negative log-likelihoods of one predictor.

    Attributes
    ----------
    nll : per split, float32 (windows, window_length - 1), nats; column t is the prediction of
        token t + 2 of the window from the t + 1 before it. Rows follow the evaluation windows.
    meta : where they come from.
    """

    nll: Mapping[str, np.ndarray]
    meta: Meta


# Of a trained model, of a published one, and of exact predictors, by 'split/name', where the
# sources are known.
NLLArrays = Arrays[NLLMeta]
ReferenceNLL = Arrays[ReferenceMeta]
ExactNLL = Arrays[ExactMeta]


class SplitArrays(Mapping[Key, np.ndarray]):
    """NLL on one split by run, or what stands for it; an array is read when it is asked for."""

    def __init__(self, arrays: Mapping[Key, NLLArrays], split: str):
        self._arrays, self._split = arrays, split

    def __getitem__(self, key: Key) -> np.ndarray:
        return self._arrays[key].nll[self._split]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def save_nll(path: Path, arrays: NLLArrays | ReferenceNLL | ExactNLL) -> None:
    """Write one `.npz` file, atomically; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    meta = np.frombuffer(canonical_json(arrays.meta.model_dump(mode="json")), dtype=np.uint8)
    content = {name: arrays.nll[name] for name in sorted(arrays.nll)}
    np.savez(buffer, allow_pickle=False, **{_META: meta, **content})
    write_atomic(Path(path), buffer.getvalue())


def load_nll(path: Path) -> Arrays[Any]:
    """Read what :func:`save_nll` wrote, with its record.

    The arrays are checked, and then mapped, read-only, each time that one is asked for: those of
    hundreds of runs take memory only while they are used. The file does not stay open: a process
    may open about a thousand.

    Raises
    ------
    ErgokedroError
        If there is no such file, or it is damaged.
    """
    try:
        file = os.stat(path)
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"the checksum of {damaged} differs")
            mapped = _map(path)
            members = {
                info.filename.removesuffix(".npy"): _locate(mapped, archive, info)
                for info in archive.infolist()
            }
        meta = _RECORD.validate_json(members.pop(_META).view(mapped).tobytes())
        arrays = _MappedArrays(Path(path), file, members)
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise ErgokedroError(
            f"{path} holds no readable NLL arrays ({error}); run `kedro run --pipelines training`."
        ) from error
    return Arrays(arrays, meta)


def _map(path: Path) -> pa.Buffer:
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()


@dataclass(frozen=True)
class _Member:
    """Where an array of a file is.

    Attributes
    ----------
    start : of its values, in bytes.
    """

    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    by_column: bool

    def view(self, mapped: pa.Buffer) -> np.ndarray:
        """The array in the mapped file."""
        values = np.frombuffer(mapped, self.dtype, math.prod(self.shape), self.start)
        return values.reshape(self.shape, order="F" if self.by_column else "C")


class _MappedArrays(Mapping[str, np.ndarray]):
    """The arrays of a file by name; each is mapped while it is used.

    Parameters
    ----------
    file : what `path` was before the arrays were located in it.
    """

    def __init__(self, path: Path, file: os.stat_result, members: dict[str, _Member]):
        self._path, self._file, self._members = path, file, members
        # For the case that another file comes to `path`; it is not read before.
        self._mapped = _map(path)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._members[name].view(self._map())

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def _map(self) -> pa.Buffer:
        """A mapping of the file that ends with its last view, and frees the memory."""
        try:
            same = os.path.samestat(self._path.stat(), self._file)
            return _map(self._path) if same else self._mapped
        except OSError:
            return self._mapped


def _locate(mapped: pa.Buffer, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Member:
    """Where an array of a file of :func:`numpy.savez` is, which compresses nothing."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    with archive.open(member) as file:
        np.lib.format.read_magic(file)  # of version 1.0, as of every array without named fields
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
        header = file.tell()
    start = member.header_offset + _LENGTHS_AT
    # Of name and extra field, which may differ from those in the archive's directory.
    lengths = sum(struct.unpack_from("<HH", mapped, start))
    return _Member(start + 4 + lengths + header, dtype, shape, by_column)


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
            f"`kedro run --namespaces {summary.run}` with the same --env and --params to measure "
            "it again."
        )
