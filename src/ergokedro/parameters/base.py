"""What all groups of settings have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class ParameterGroup(BaseModel):
    """A group of settings: frozen, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
