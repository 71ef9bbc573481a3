"""Everything that the analysis of one experiment starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ergokedro.analysis.series import Selection, selections
from ergokedro.analysis.training_text import TrainingText
from ergokedro.design.mixture import Design
from ergokedro.design.nll import ExactNLL, NLLArrays, ReferenceNLL, SplitArrays
from ergokedro.design.runs import Run
from ergokedro.parameters import AnalysisParameters


@dataclass(frozen=True)
class Experiment:
    """The measured runs of one design.

    Attributes
    ----------
    design : components, budget and order.
    windows : the evaluation windows, in the order of the arrays' rows.
    nll : of every run that was made, chain and controls.
    exact : NLL of the exact optimum and of the sources, or no arrays where they are unknown.
    params : intervals and seed of the bootstrap.
    settings : of the controls, by name.
    references : NLL of published models, by the name of their files.
    text : what the training text alone says; None if it is not known.
    best_epochs : of the runs that look for their best number of epochs, that number, as a multiple
        of the chain's.
    common_text : K -> share of its text that two draws have in common; those without any may be
        left out.
    """

    design: Design
    windows: pd.DataFrame
    nll: Mapping[Run, NLLArrays]
    exact: ExactNLL
    params: AnalysisParameters
    settings: Mapping[str, Any]
    references: Mapping[str, ReferenceNLL] = field(default_factory=dict)
    text: TrainingText | None = None
    common_text: Mapping[int, float] = field(default_factory=dict)
    best_epochs: Mapping[Run, float] = field(default_factory=dict)

    @property
    def runs(self) -> list[Run]:
        """All runs, in the order of the plan."""
        return list(self.nll)

    @cached_property
    def chain(self) -> list[Run]:
        """The runs of the chain by ascending K."""
        return sorted((run for run in self.nll if run.in_chain), key=lambda run: run.k)

    @cached_property
    def splits(self) -> list[str]:
        """The held-out splits, in the order of the windows."""
        return [str(split) for split in self.windows.split.unique()]

    @cached_property
    def _windows(self) -> dict[str, pd.DataFrame]:
        return {
            split: self.windows[self.windows.split == split].reset_index(drop=True)
            for split in self.splits
        }

    @cached_property
    def _selections(self) -> dict[tuple[str, ...], list[Selection]]:
        return {}

    def windows_of(self, split: str) -> pd.DataFrame:
        """The windows of one split, numbered from 0."""
        return self._windows[split]

    def labels(self, run: Run) -> list[str]:
        """Names of the components that a run was trained on."""
        return [self.design.components[position - 1] for position in run.components]

    def selections(self, split: str, run: Run) -> list[Selection]:
        """The series that a run is measured on."""
        labels = self.labels(run)
        key = (split, *labels)
        if key not in self._selections:
            windows = self.windows_of(split)
            self._selections[key] = selections(windows, split, self.design, labels)
        return self._selections[key]

    def selection(self, split: str, run: Run, series: str, component: str = "") -> Selection:
        """One of :meth:`selections`."""
        return next(
            s for s in self.selections(split, run) if (s.series, s.component) == (series, component)
        )

    def arrays(self, split: str) -> Mapping[Run, np.ndarray]:
        """NLL of every run on one split: float32 (windows, W - 1), nats."""
        return SplitArrays(self.nll, split)

    def tags(self, run: Run) -> dict[str, Any]:
        """What every row of the results says of a run."""
        return {
            "run": run.name,
            "k": run.k,
            "seed": self.nll[run].meta.seed,
            "tokens": self.design.total_tokens // run.divisor,
        }
