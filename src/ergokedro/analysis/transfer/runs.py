"""Held-out XE of models trained on mixtures: the data that laws are fitted to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ergokedro.errors import ErgokedroError

# Budgets that differ by less than this ratio are one: whole windows do not divide evenly.
_SAME_BUDGET = 1.02
# Degrees of freedom above which Student's distribution is the normal one.
_MANY = 1e6


@dataclass(frozen=True)
class MixtureRuns:
    """Training tokens of R runs, and their XE on the held-out text of m components.

    A run that is repeated with another draw of training documents or another seed is a row of its
    own.

    Attributes
    ----------
    components : m names.
    tokens : float64 (R, m), unique training tokens of each component, per epoch; 0 where the run
        was not trained on it.
    xe : float64 (R, m), nats per token; NaN where it was not measured.
    standard_error : float64 (R, m), nats, or None where all observations weigh the same. Only their
        ratios count: the scatter about a fit says how large they are.
    replicates : float64 (B, R, m), bootstrap replicates of `xe`, or None. One replicate holds the
        same resampled draws and documents for all runs, so that what they share cancels.
    documents : int (m,), held-out documents of every component behind the replicates, or None where
        they are so many that their number does not matter.

    Raises
    ------
    ErgokedroError
        If shapes disagree, tokens are negative, or a standard error is not positive.
    """

    components: tuple[str, ...]
    tokens: np.ndarray
    xe: np.ndarray
    standard_error: np.ndarray | None = None
    replicates: np.ndarray | None = None
    documents: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "xe", "standard_error", "replicates"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, np.asarray(value, dtype=np.float64))
        self._check_shapes()
        if not (np.isfinite(self.tokens).all() and (self.tokens >= 0).all()):
            raise ErgokedroError(
                f"tokens must be finite and not negative; the smallest is {self.tokens.min()}. "
                "Give 0 where a run was not trained on a component."
            )
        errors = None if self.standard_error is None else self.standard_error[self.observed]
        if errors is not None and not (np.isfinite(errors).all() and (errors > 0).all()):
            raise ErgokedroError(
                "standard_error must be positive and finite wherever a run was trained on a "
                f"component and measured on it; the smallest is {errors.min()}. Give None where "
                "standard errors are not known."
            )

    def _check_shapes(self) -> None:
        shape = (len(self.tokens), len(self.components))
        shapes = {"tokens": self.tokens.shape, "xe": self.xe.shape}
        if self.documents is not None:
            shapes["documents"] = (len(self.tokens), *np.shape(self.documents))
        if self.standard_error is not None:
            shapes["standard_error"] = self.standard_error.shape
        if self.replicates is not None:
            shapes["replicates"] = self.replicates.shape[1:]
        for name, actual in shapes.items():
            if actual != shape:
                raise ErgokedroError(
                    f"{name} has the shape {actual}, but there are {shape[0]} runs and "
                    f"{shape[1]} components; give one row per run and one column per component."
                )

    @cached_property
    def observed(self) -> np.ndarray:
        """Where a law applies, bool (R, m): trained on the component, and measured on it.

        XE on a component without training text of its own is another question (zero-shot transfer)
        and no observation of the law.
        """
        return np.isfinite(self.xe) & (self.tokens > 0)

    @cached_property
    def document_df(self) -> np.ndarray:
        """Degrees of freedom of a variance over documents, float64 (m,)."""
        if self.documents is None:
            return np.full(len(self.components), _MANY)
        return np.maximum(1.0, self.documents - 1.0)

    @cached_property
    def totals(self) -> np.ndarray:
        """D of every run: float64 (R,), tokens."""
        return np.asarray(self.tokens.sum(axis=1))

    @cached_property
    def sizes(self) -> np.ndarray:
        """K of every run: int64 (R,)."""
        return np.asarray((self.tokens > 0).sum(axis=1))

    @cached_property
    def sets(self) -> list[str]:
        """The components of every run, joined by ' + '."""
        return [
            " + ".join(name for name, used in zip(self.components, row, strict=True) if used)
            for row in self.tokens > 0
        ]

    @cached_property
    def budgets(self) -> np.ndarray:
        """D of every run, equal where it differs by whole windows alone: float64 (R,)."""
        order = np.argsort(self.totals, kind="stable")
        ordered = self.totals[order]
        groups = np.cumsum(np.append(False, ordered[1:] > ordered[:-1] * _SAME_BUDGET))
        budgets = np.empty_like(ordered)
        for group in np.unique(groups):
            members = order[groups == group]
            budgets[members] = np.median(self.totals[members])
        return budgets

    def column(self, component: str) -> int:
        """Number of a component.

        Raises
        ------
        ErgokedroError
            If there is none of this name.
        """
        if component not in self.components:
            raise ErgokedroError(
                f"component = {component!r} is not among those of the runs: "
                f"{', '.join(self.components)}."
            )
        return self.components.index(component)

    def select(self, rows: np.ndarray) -> MixtureRuns:
        """Some of the runs, such as those of one budget.

        Parameters
        ----------
        rows : bool (R,) or int, as numpy takes rows.
        """
        errors = None if self.standard_error is None else self.standard_error[rows]
        replicates = None if self.replicates is None else self.replicates[:, rows]
        return replace(
            self,
            tokens=self.tokens[rows],
            xe=self.xe[rows],
            standard_error=errors,
            replicates=replicates,
        )


@dataclass(frozen=True)
class Sample:
    """The observations of one component, or of several one after the other.

    Attributes
    ----------
    components : the names of all m components of the runs.
    columns : int64 (C,), the components that are observed.
    rows : int64 (N,), the run of each observation.
    column : int64 (N,), its component.
    tokens : float64 (N, m), training tokens of the run.
    references : float64 (m,), tokens by which each component's own size is measured.
    level : nats per token, an upper limit of XE.
    """

    components: tuple[str, ...]
    columns: np.ndarray
    rows: np.ndarray
    column: np.ndarray
    tokens: np.ndarray
    references: np.ndarray
    level: float

    @cached_property
    def own(self) -> np.ndarray:
        """Tokens of the observed component, in its reference: float64 (N,)."""
        return np.asarray(self.relative[np.arange(len(self.column)), self.column])

    @cached_property
    def relative(self) -> np.ndarray:
        """Tokens of every component, in the reference of the observed one: float64 (N, m)."""
        return self.tokens / self.references[self.column][:, None]

    @cached_property
    def component_of(self) -> np.ndarray:
        """Whether an observation is of the i-th of `columns`: float64 (N, C)."""
        return (self.column[:, None] == self.columns).astype(np.float64)


def references(runs: MixtureRuns) -> np.ndarray:
    """Geometric mean of the own tokens of every component's observations: float64 (m,)."""
    logs = np.log(np.where(runs.observed, runs.tokens, 1.0)).sum(axis=0)
    return np.asarray(np.exp(logs / np.maximum(1, runs.observed.sum(axis=0))))


def sample(
    components: tuple[str, ...],
    tokens: np.ndarray,
    observed: np.ndarray,
    columns: np.ndarray,
    references: np.ndarray,
    level: float,
) -> Sample:
    """The observations (R, m) of some columns as a :class:`Sample`."""
    chosen = np.zeros_like(observed)
    chosen[:, columns] = observed[:, columns]
    column, rows = np.nonzero(chosen.T)
    return Sample(components, columns, rows, column, tokens[rows], references, level)
