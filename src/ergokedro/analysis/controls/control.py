"""What a control is, and what all of them together add to an experiment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, product
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, ValidationError, create_model

from ergokedro.analysis.contrasts import Replicates, series_contrasts
from ergokedro.analysis.experiment import Experiment
from ergokedro.analysis.series import ResultRow, Selection
from ergokedro.design.runs import Run, chain, plan_runs, repeat_run
from ergokedro.errors import ErgokedroError
from ergokedro.registry import Registry

CONTROLS: Registry[Control] = Registry("controls")


@dataclass(frozen=True)
class Setting:
    """One setting below `controls`: name, type, default, meaning, bounds as of pydantic's Field.

    `type` is what pydantic takes for one, such as `bool | Literal["cyclic"]`.
    """

    name: str
    type: Any
    default: Any
    description: str
    bounds: Mapping[str, Any] = field(default_factory=dict)


class Control(ABC):
    """A question that the chain alone cannot answer.

    Attributes
    ----------
    name : namespace of its runs in the graph, in file names and in MLflow.
    series : name of its series in the results; empty if it has none of its own.
    title : what the legend of a figure calls the series.
    settings : the first one switches the control on, by another value than its default.
    sentences : Jinja template of what the report says, one sentence per line, in terms of `rows`
        (its results on test text) and `settings`; `ergokedro.reporting.rendering` has the filters.
    repeated_by : which of the settings `draws` and `seeds` repeat its runs. Both for the runs whose
        difference is the effect of K; draws alone for what is compared with it on the same text;
        none by default.
    """

    name: ClassVar[str]
    series: ClassVar[str] = ""
    title: ClassVar[str] = ""
    settings: ClassVar[tuple[Setting, ...]]
    sentences: ClassVar[str] = ""
    repeated_by: ClassVar[Collection[str]] = ()

    def is_on(self, settings: Mapping[str, Any]) -> bool:
        """Whether the settings ask for it."""
        switch = self.settings[0]
        return bool(settings[switch.name] != switch.default)

    @abstractmethod
    def runs(self, ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
        """The runs that it needs, `control` being its name; those of other controls may be among
        them, and are then trained once.

        Parameters
        ----------
        ks : values of K in the chain.
        n_components : components of the design.
        """

    def rows(self, experiment: Experiment) -> Iterator[ResultRow]:
        """Its part of the results."""
        return iter(())


def read_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of all registered controls, complete and checked.

    Raises
    ------
    ErgokedroError
        Naming each unknown setting, or value of another type or out of bounds.
    """
    fields: dict[str, Any] = {
        s.name: (s.type, Field(s.default, description=s.description, **s.bounds))
        for s in all_settings()
    }
    model = create_model("Controls", __config__=ConfigDict(extra="forbid"), **fields)
    try:
        return model.model_validate(dict(raw)).model_dump()
    except ValidationError as error:
        # A setting of several types has one error for each, in a row.
        groups = groupby(error.errors(), key=lambda item: item["loc"][0])
        lines = [_describe(name, list(items)) for name, items in groups]
        raise ErgokedroError("Invalid parameters:\n  " + "\n  ".join(lines)) from None


def _describe(name: str | int, errors: list[Any]) -> str:
    """One line for the pydantic errors of one setting."""
    known = sorted(setting.name for setting in all_settings())
    if errors[0]["type"] == "extra_forbidden":
        return f"controls.{name}: unknown key (known here: {', '.join(known)})"
    messages = "; or: ".join(error["msg"] for error in errors)
    return f"controls.{name} = {errors[0]['input']!r}: {messages}"


def all_settings() -> list[Setting]:
    """The settings of all registered controls."""
    return [setting for control in CONTROLS.values() for setting in control.settings]


def plan_experiment(ks: list[int], n_components: int, settings: Mapping[str, Any]) -> list[Run]:
    """Every run of an experiment: the chain for the values `ks`, the controls' runs, their repeats.

    The settings `draws` and `seeds` repeat the chain, and the controls that ask for it, for every
    combination of a draw and a seed.

    Parameters
    ----------
    n_components : components of the design.
    settings : of :func:`read_settings`, or a part of them.
    """
    complete = read_settings(settings)
    asked = [
        (control.repeated_by, control.runs(ks, n_components, complete))
        for control in CONTROLS.values()
        if control.is_on(complete)
    ]
    runs = plan_runs(ks, (run for _, runs in asked for run in runs))
    names = {run.recipe: run for run in runs}
    repeated = [(("draws", "seeds"), [chain(k) for k in ks]), *asked]
    draws, seeds = complete["draws"], complete["seeds"]
    repeats = [
        repeat_run(names[run.recipe], draw, draws, seed)
        for draw, seed in product(range(draws), range(seeds))
        for axes, members in repeated
        if (draw or seed) and (not draw or "draws" in axes) and (not seed or "seeds" in axes)
        for run in members
    ]
    return plan_runs(ks, [*runs, *repeats])


def control_rows(experiment: Experiment) -> Iterator[ResultRow]:
    """The results of all controls that are on."""
    for control in CONTROLS.values():
        if control.is_on(experiment.settings):
            yield from control.rows(experiment)


def series_rows(
    experiment: Experiment,
    series: str,
    selection: Selection,
    replicates: Replicates,
    tokens: Mapping[int, int],
) -> Iterator[ResultRow]:
    """XE by K, and its contrasts with K = 1 as of :func:`series_contrasts`.

    Parameters
    ----------
    replicates : K -> (draw, seed offset) -> NLL of every window of the split.
    tokens : K -> training tokens of each component.
    """
    seed = experiment.tags(experiment.chain[0])["seed"]
    tags = {
        k: {"run": series, "series": series, "k": k, "seed": seed, "tokens": tokens[k],
            "trained": True}
        for k in replicates
    }  # fmt: skip
    for k, by_repeat in sorted(replicates.items()):
        xe = selection.estimate_repeats(by_repeat, experiment.params)
        yield selection.row("xe", xe, **tags[k])
    yield from series_contrasts(experiment, selection, replicates, tags)
