"""Pydantic models as JSON files in the catalog."""

from __future__ import annotations

import json
from typing import Any, NewType

from kedro.utils import load_obj
from pydantic import BaseModel, ValidationError

from ergokedro.datasets.atomic import JSONDataset
from ergokedro.errors import ErgokedroError

# Kedro-Viz chooses how to show a preview by the name of its type.
JSONPreview = NewType("JSONPreview", str)


class ModelJSONDataset(JSONDataset):
    """A JSON file that holds one pydantic model and is validated when it is loaded."""

    def __init__(self, *, model: str, **kwargs: Any):
        """`model` is the dotted path of the class; the rest as for JSONDataset."""
        super().__init__(**kwargs)
        self._options["model"] = model
        self._model: type[BaseModel] = load_obj(model)

    def save(self, data: BaseModel) -> None:
        """Write the model, its computed fields included."""
        super().save(data.model_dump(mode="json"))

    def load(self) -> BaseModel:
        """Read and validate the model.

        Raises
        ------
        ErgokedroError
            If the file does not hold such a model.
        """
        raw = super().load()
        computed = self._model.model_computed_fields
        try:
            return self._model.model_validate(
                {key: value for key, value in raw.items() if key not in computed}
            )
        except ValidationError as error:
            raise ErgokedroError(
                f"{self.path} is not a valid {self._model.__name__}: {error}. Run the command that "
                "made it again."
            ) from error

    def preview(self) -> JSONPreview:
        """The file's content, for Kedro-Viz."""
        return JSONPreview(json.dumps(super().load()))
