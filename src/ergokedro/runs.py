"""Which K to run, and the name that each run has in the graph, the catalog and MLflow."""

from __future__ import annotations

import re

from ergokedro.errors import ErgokedroError

_FORMS = "'all', one number (3), a range (2-4) or a list (1+3)"
LARGEST_K = 64


def parse_k(value: int | str, default_largest: int) -> list[int]:
    """Read the `k` setting.

    Parameters
    ----------
    value : 'all', an int, 'a-b' (inclusive) or 'a+b+c'; forms may be combined ('1+3-5').
    default_largest : what 'all' stands for: 1..default_largest.

    Returns
    -------
    Ascending values of K without repeats.

    Raises
    ------
    ErgokedroError
        If the text has another form or a K lies outside 1..64.
    """
    text = str(value).strip()
    if text == "all":
        return list(range(1, default_largest + 1))
    chosen: set[int] = set()
    for part in text.split("+"):
        match = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
        if match is None or isinstance(value, bool):
            raise ErgokedroError(f"k = {value!r} is not understood; give {_FORMS}.")
        low = int(match[1])
        high = int(match[2] or low)
        if not 1 <= low <= high <= LARGEST_K:
            raise ErgokedroError(
                f"k = {value!r}: K counts components, so it lies in 1..{LARGEST_K} and a range "
                "ascends."
            )
        chosen.update(range(low, high + 1))
    return sorted(chosen)


def run_name(k: int) -> str:
    """Name of the run on the first `k` components: its namespace, files and MLflow child."""
    return f"k{k}"
