"""Published models that an experiment measures beside its own: the names of their files."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePath


def reference_runs(names: list[str]) -> dict[str, str]:
    """Name of each reference's files, such as references.pythia-70m -> what the setting says.

    Parameters
    ----------
    names : directories, or names on the hub.
    """
    runs: dict[str, str] = {}
    used: Counter[str] = Counter()
    for name in dict.fromkeys(names):
        label = re.sub(r"[^A-Za-z0-9-]+", "_", PurePath(name).name).strip("_") or "model"
        used[label] += 1
        number = f"__{used[label]}" if used[label] > 1 else ""
        runs[f"references.{label}{number}"] = name
    return runs
