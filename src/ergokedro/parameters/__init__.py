"""Typed parameters: every setting with its type, default, bounds and meaning.

``conf/*/parameters*.yml`` and ``--params`` are validated against :class:`Parameters`
before any work starts; nodes receive the sub-models, never raw dictionaries.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from ergokedro.errors import ErgokedroError
from ergokedro.parameters.base import Fraction, ParameterGroup, Seed
from ergokedro.parameters.corpus import CorpusParameters, SyntheticParameters, TokenizerParameters
from ergokedro.parameters.measurement import (
    AnalysisParameters,
    EvaluationParameters,
    MixtureParameters,
)
from ergokedro.parameters.tracking import TrackingParameters
from ergokedro.parameters.training import (
    MACHINE_SETTINGS,
    CheckpointParameters,
    ModelParameters,
    TrainingParameters,
)

__all__ = [
    "EXPERIMENT_NAME",
    "LARGEST_K",
    "MACHINE_SETTINGS",
    "AnalysisParameters",
    "CheckpointParameters",
    "CorpusParameters",
    "EvaluationParameters",
    "Fraction",
    "GridParameters",
    "MixtureParameters",
    "ModelParameters",
    "Parameters",
    "SyntheticParameters",
    "TokenizerParameters",
    "TrackingParameters",
    "TrainingParameters",
    "parse_k",
    "validate_parameters",
    "validate_tracking",
]

# A folder's name, and no way out of its folder.
EXPERIMENT_NAME = r"^[\w-][\w.-]*$"

LARGEST_K = 64

_K_FORMS = "'all', one number (3), a range (2-4) or a list (1+3)"


class GridParameters(ParameterGroup):
    """Totals and model sizes at which `kedro grid` repeats the whole experiment."""

    total_tokens: list[Annotated[int, Field(ge=100)]] = Field(
        [], description="Values of mixture.total_tokens; an empty list keeps the one that it has."
    )
    presets: list[str] = Field(
        [], description="Values of model.preset; an empty list keeps the one that it has."
    )


def _check_form_of_k(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"not understood; give {_K_FORMS}")
    return value


def _split_names(value: Any) -> Any:
    if value is None:  # `--params references=`
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.split("+") if part.strip()]
    return value


class Parameters(ParameterGroup):
    """All settings of a run."""

    k: Annotated[int | str, BeforeValidator(_check_form_of_k)] = Field(
        "all",
        description=(
            "Which K to run: 'all', 3, '2-4' or '1+3'. A larger K than mixture.top_n raises that."
        ),
    )
    seed: Seed = Field(0, description="Seed of initial weights and data order.")
    plan: bool = Field(False, description="Say what training would cost, and train nothing.")
    largest_sweep: int = Field(
        200, ge=1, description="More runs than this are refused: controls.subsets makes 2^n - 1."
    )
    experiment: str | None = Field(
        None,
        pattern=EXPERIMENT_NAME,
        description=(
            "Folder of this experiment in every data layer; default: `experiment` of globals.yml, "
            "else the environment's name, and synthetic without --env."
        ),
    )
    shared_data: str | None = Field(
        None,
        pattern=EXPERIMENT_NAME,
        description=(
            "Experiment whose corpus, tokenizer and token store are used; default: this one's own."
        ),
    )
    experiments: str = Field(
        "",
        pattern=rf"^({EXPERIMENT_NAME[1:-1]}(\+{EXPERIMENT_NAME[1:-1]})*)?$",
        description=(
            "Finished experiments that the pipeline `comparison` sets side by side, joined by '+'; "
            "the first is the reference."
        ),
    )
    plugins: str = Field(
        "",
        description=(
            "Python modules to import first, joined by '+' or as a list: they register "
            "controls, figures, models, optimizers, learning-rate schedules or corpus sources of "
            "your own."
        ),
    )
    references: Annotated[list[str], BeforeValidator(_split_names)] = Field(
        [],
        description=(
            "Published causal language models, joined by '+' or as a list, that are measured on "
            "the same held-out windows and not trained: directories with config.json, safetensors "
            "and tokenizer, or names on the hub, of one commit by name@revision."
        ),
    )
    corpus: CorpusParameters = CorpusParameters()
    tokenizer: TokenizerParameters = TokenizerParameters()
    mixture: MixtureParameters = MixtureParameters()
    model: ModelParameters = ModelParameters()
    training: TrainingParameters = TrainingParameters()
    evaluation: EvaluationParameters = EvaluationParameters()
    controls: dict[str, Any] = Field(
        {},
        description=(
            "Runs beside the chain K = 1, 2, ...: the settings of the registered controls, see "
            "`ergokedro.analysis.controls`."
        ),
    )
    analysis: AnalysisParameters = AnalysisParameters()
    grid: GridParameters = GridParameters()

    @model_validator(mode="after")
    def _consistent(self) -> Parameters:
        largest = max(self.runs)
        if self.corpus.source == "synthetic" and largest > self.corpus.synthetic.components:
            raise ValueError(
                f"k = {self.k!r} asks for {largest} components, but the synthetic corpus has "
                f"{self.corpus.synthetic.components}; lower k or raise "
                "corpus.synthetic.components"
            )
        if self.mixture.components is not None and largest > len(self.mixture.components):
            raise ValueError(
                f"k = {self.k!r} asks for {largest} components, but mixture.components pins "
                f"{len(self.mixture.components)}"
            )
        return self

    @property
    def runs(self) -> list[int]:
        """The values of K to run, ascending."""
        return parse_k(self.k, self.n_components)

    @property
    def n_components(self) -> int:
        """How many components the design has."""
        pinned = self.mixture.components
        return len(pinned) if pinned is not None else self.mixture.top_n


def validate_parameters(raw: dict[str, Any]) -> Parameters:
    """Turn merged configuration into :class:`Parameters`, with top_n raised to the largest K.

    Raises
    ------
    ErgokedroError
        One message that names every offending key, its value and what is allowed.
    """
    try:
        parameters = Parameters.model_validate(raw)
    except ValidationError as error:
        lines = [_describe(item) for item in error.errors()]
        raise ErgokedroError("Invalid parameters:\n  " + "\n  ".join(lines)) from None
    # k = 7 means a design with at least seven components.
    top_n = max(parameters.mixture.top_n, *parameters.runs)
    mixture = parameters.mixture.model_copy(update={"top_n": top_n})
    return parameters.model_copy(update={"mixture": mixture})


def validate_tracking(raw: Any) -> TrackingParameters:
    """Turn merged configuration into :class:`TrackingParameters`.

    Raises
    ------
    ErgokedroError
        One message that names every offending key, its value and what is allowed.
    """
    try:
        return _Tracking.model_validate({"tracking": raw}).tracking
    except ValidationError as error:
        lines = [_describe(item, _Tracking) for item in error.errors()]
        raise ErgokedroError("Invalid settings of MLflow:\n  " + "\n  ".join(lines)) from None


class _Tracking(ParameterGroup):
    tracking: TrackingParameters


def _describe(item: Any, model: type[ParameterGroup] = Parameters) -> str:
    """One line for one pydantic error in settings of `model`."""
    key = ".".join(str(part) for part in item["loc"])
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key (known here: {', '.join(_known_keys(item['loc'], model))})"
    if not key:
        return str(message)
    if item["type"] in _REMEDIES:
        message = _REMEDIES[item["type"]].format(key=key)
    if item["type"] == "string_type" and isinstance(item["input"], bool | int | float):
        message = _how_to_quote(key, item["loc"])
    return f"{key} = {item['input']!r}: {message}"


_A_GROUP = "not a value but a group: indent its settings below it, or name one, as in a.b=1"
# By pydantic's type of error, where its own message does not say what to write.
_REMEDIES = {
    "model_type": _A_GROUP,
    "dict_type": _A_GROUP,
    "list_type": "this should be a list: [a, b] in a file, --params '{key}=[a,b]' on the command "
    "line",
    "string_pattern_mismatch": "the name of a folder has only letters, digits, '_', '-' and '.', "
    "and does not begin with '.'",
}


def _how_to_quote(key: str, location: tuple[Any, ...]) -> str:
    """What to write where YAML has read text such as 2024, 1234e56 or NO as something else."""
    in_list = isinstance(location[-1], int)
    name = ".".join(str(part) for part in location[: -1 if in_list else None])
    value = '["NO", "SE"]' if in_list else '"..."'
    return (
        "this should be text, but YAML reads it as a number or as true or false. Put it in quotes: "
        f"{name.split('.')[-1]}: {value} in a file, --params '{name}={value}' on the command line"
    )


def _known_keys(location: tuple[Any, ...], model: Any) -> list[str]:
    """The allowed keys of `model` beside the unknown one at `location`."""
    for part in location[:-1]:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)


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
            raise ErgokedroError(f"k = {value!r} is not understood; give {_K_FORMS}.")
        low = int(match[1])
        high = int(match[2] or low)
        if not 1 <= low <= high <= LARGEST_K:
            raise ErgokedroError(
                f"k = {value!r}: K counts components, so it lies in 1..{LARGEST_K} and a range "
                "ascends."
            )
        chosen.update(range(low, high + 1))
    return sorted(chosen)
