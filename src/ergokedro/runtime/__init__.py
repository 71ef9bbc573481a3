"""All that knows Kedro or MLflow: configuration, hooks, tracking, the sweep."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`ergokedro.runtime.RayRunner`, as `kedro run --runner` names it, imported when it is used."""
    if name == "RayRunner":
        from ergokedro.runtime.ray_runner import RayRunner

        return RayRunner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
