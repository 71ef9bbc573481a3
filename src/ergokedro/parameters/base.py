"""What all groups of settings have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
# PyTorch takes seeds below 2^64, and repeats of a run add to the setting.
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class ParameterGroup(BaseModel):
    """A group of settings: frozen, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
