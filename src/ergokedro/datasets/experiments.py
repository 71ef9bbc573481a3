"""A file of every experiment, for pipelines that read several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro_datasets.partitions import PartitionedDataset


class ExperimentsDataset(PartitionedDataset):
    """Loads as a dictionary from experiment, or experiment/run, to a function that reads the file.

    An empty one where no experiment has the file.
    """

    def load(self) -> dict[str, Callable[[], Any]]:
        """What there is."""
        return super().load() if super()._exists() else {}

    def _exists(self) -> bool:
        return True
