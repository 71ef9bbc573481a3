"""The JSON file beside data on disk, which says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ergokedro.errors import ErgokedroError


def read_sidecar(file: Path, kind: str) -> dict[str, Any]:
    """What the file says.

    Parameters
    ----------
    kind : what its folder holds, such as 'corpus', for the message.

    Raises
    ------
    ErgokedroError
        If it is missing or damaged, with the command that makes it anew.
    """
    try:
        meta: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ErgokedroError(
            f"{file.parent} holds no readable {kind} ({error}); run "
            "`kedro run --pipelines data_processing`."
        ) from error
    return meta
