"""Reading a source once and keeping a sample: memory and disk hold the sample, not the corpus."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import pyarrow as pa

from ergokedro.data.documents import SCHEMA, Documents, Part, batch_rows
from ergokedro.data.label_deletion import delete_names
from ergokedro.data.labels import join_labels, trim
from ergokedro.data.processes import map_in_processes
from ergokedro.data.sampling import BYTES_PER_TOKEN, Sample
from ergokedro.data.splits import SPLITS, divide, late_heldout, missing_splits
from ergokedro.data.table_files import FileBatches
from ergokedro.parameters import CorpusParameters

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Reading:
    """How the documents of a part are treated before they are sampled.

    Attributes
    ----------
    deleted : names of categories that are deleted from the text.
    missing : splits that get a share of the training documents.
    """

    deleted: list[str]
    missing: list[str]
    heldout_fraction: float

    def read(self, part: Part, sample: Sample) -> tuple[Part, Sample]:
        """Add a part to a sample; give its labels, as a part of documents without text."""
        labels: set[str | None] = set()
        parts = delete_names([part], self.deleted) if self.deleted else [part]
        for batch in (batch for each in parts for batch in each.batches):
            labels.update(batch["label"].unique().to_pylist())
            batch = batch.set_column(1, SCHEMA.field(1), trim(batch["label"]))
            for split, rows in self._divide(part.split, batch):
                columns = (rows[name].to_pylist() for name in SCHEMA.names)
                for text, label in zip(*columns, strict=True):
                    sample.add(split, label, text)
        return _labels_part(part, labels), sample

    def read_task(self, task: tuple[Part, Sample]) -> tuple[Part, Sample]:
        """As :meth:`read`, in a process of its own."""
        return self.read(*task)

    def _divide(self, split: str, batch: pa.RecordBatch) -> Iterable[tuple[str, pa.RecordBatch]]:
        if split != "train":
            return [(split, batch)]
        return divide(batch, self.missing, self.heldout_fraction)


def _labels_part(part: Part, labels: set[str | None]) -> Part:
    rows = [(None, label, 0) for label in labels]
    return Part(part.split, part.origin, list(batch_rows(rows, part.origin, "label")))


def sample_documents(
    documents: Documents, params: CorpusParameters, deleted: list[str]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """A sample of the documents, as batches with their split; held-out text is read first.

    Parameters
    ----------
    deleted : names of categories that are deleted from the text.

    Raises
    ------
    ErgokedroError
        If a held-out document follows training documents, or the labels of the parts do not go
        together; see :func:`ergokedro.data.labels.join_labels`.
    """
    assert params.max_tokens_per_category is not None, "the settings were checked"
    sample = Sample(params.max_tokens_per_category * BYTES_PER_TOKEN)
    reading = _Reading(deleted, [], params.heldout_fraction)
    seen: list[Part] = []
    for is_train, parts in groupby(documents.parts(), key=lambda part: part.split == "train"):
        if is_train:
            named = {part.split for part in seen}
            missing = missing_splits(sample.read, named, params.heldout_fraction)
            reading = replace(reading, missing=missing)
        read = _read_all(parts, reading, sample, params.processes)
        if seen and not is_train:
            raise late_heldout(read[0])
        seen += read
    for part in join_labels(seen):  # for its checks of how the labels of all parts go together
        list(part.batches)
    _log(sample)
    for split in SPLITS:
        rows = ((text, label, 0) for text, label in sample.documents(split))
        for batch in batch_rows(rows, "the sample", "document"):
            yield split, batch


def _read_all(
    parts: Iterable[Part], reading: _Reading, sample: Sample, processes: int
) -> list[Part]:
    """Add parts to the sample; give their labels."""
    if processes == 1:
        return [reading.read(part, sample)[0] for part in parts]
    seen: list[Part] = []

    def tasks() -> Iterator[tuple[Part, Sample]]:
        for part in parts:
            if isinstance(part.batches, FileBatches):
                yield part, sample.empty()
            else:  # no other process can read it
                seen.append(reading.read(part, sample)[0])

    for labels, sampled in map_in_processes(reading.read_task, tasks(), processes):
        seen.append(labels)
        sample.merge(sampled)
    return seen


def _log(sample: Sample) -> None:
    read = ", ".join(f"{sample.read[split]:,} of {split}" for split in SPLITS)
    left_out = "".join(f"; {n:,} {reason}" for reason, n in sorted(sample.left_out.items()))
    log.info("Corpus: sampled from %s documents%s", read, left_out)
