"""What is logged of a run: loss and gradient norm of every step, the curves, and the speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from ergokedro.errors import ErgokedroError
from ergokedro.training.job import TrainingJob
from ergokedro.training.step import StepResult


class Measurement(NamedTuple):
    """One point of a training curve; losses in nats per token."""

    step: int
    tokens: int
    metric: str
    component: str
    value: float


OnMetrics = Callable[[list[Measurement]], None]


def ignore(measurements: list[Measurement]) -> None:
    """Do nothing with the points of the curves."""


class Curves:
    """Collects loss, gradient norm and batch size of every step, and the points of the curves.

    Losses and norms stay on the device until they are logged or saved.

    Parameters
    ----------
    on_metrics : called with new points of the curves as they come.

    Attributes
    ----------
    losses, norms : of the steps that :meth:`fetch` has copied, nats per token and dimensionless.
    tokens : trained on so far.
    history : all points of the curves so far.
    """

    def __init__(self, job: TrainingJob, on_metrics: OnMetrics):
        self._job, self._on_metrics = job, on_metrics
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.tokens = 0
        self.history: list[Measurement] = []
        self._windows: list[int] = []
        self._pending: list[StepResult] = []
        self._logged = 0  # steps that the curves cover

    @property
    def step(self) -> int:
        """Number of steps so far."""
        return len(self._windows)

    def add(self, result: StepResult) -> None:
        """Count a step, without waiting for the device."""
        self._pending.append(result)
        self._windows.append(result.windows)
        self.tokens += result.windows * self._job.windows.window_length

    def fetch(self) -> None:
        """Copy the values of pending steps from the device, all at once.

        Raises
        ------
        ErgokedroError
            If one is not finite: the weights cannot recover from it.
        """
        if not self._pending:
            return
        flat = torch.stack([value.float() for step in self._pending for value in step[:2]])
        self._pending = []
        losses, norms = flat.cpu().double().numpy().reshape(-1, 2).T
        self.losses += losses.tolist()
        self.norms += norms.tolist()
        self._check_finite(losses, norms)

    def _check_finite(self, losses: np.ndarray, norms: np.ndarray) -> None:
        bad = ~(np.isfinite(losses) & np.isfinite(norms))
        if bad.any():
            first, params = int(bad.argmax()), self._job.params
            raise ErgokedroError(
                f"Training diverged at step {self.step - len(losses) + first + 1} of "
                f"{self._job.steps}: loss {losses[first]}, gradient norm {norms[first]}. Lower "
                f"training.learning_rate (now {params.learning_rate}) or training.gradient_clip "
                f"(now {params.gradient_clip})."
            )

    def log(self, learning_rate: float, tokens_per_second: float) -> dict[str, str]:
        """Add a point of the training curves: means over the steps since the last call.

        Parameters
        ----------
        learning_rate : of the last step.

        Returns
        -------
        What the progress bar shows: name -> formatted value.
        """
        self.fetch()
        new = slice(self._logged, self.step)
        # Over tokens, not over batches: the last batch of an epoch may be smaller.
        loss = float(np.average(self.losses[new], weights=self._windows[new]))
        norm = float(np.mean(self.norms[new]))
        self._logged = self.step
        self.record(
            {
                ("train_loss", ""): loss,
                ("learning_rate", ""): learning_rate,
                ("gradient_norm", ""): norm,
                ("tokens_per_second", ""): tokens_per_second,
            }
        )
        return {"loss": f"{loss:.4f}", "tokens/s": f"{tokens_per_second:,.0f}"}

    def record(self, values: dict[tuple[str, str], float]) -> None:
        """Add points at the present step to the curves, and report them.

        Parameters
        ----------
        values : (metric, component) -> value; the component is '' where it is not of one alone.
        """
        new = [
            Measurement(self.step, self.tokens, metric, component, value)
            for (metric, component), value in values.items()
        ]
        self.history += new
        self._on_metrics(new)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Tensors and JSON-able values from which :meth:`restore` continues."""
        self.fetch()
        columns = {"losses": self.losses, "norms": self.norms, "batches": self._windows}
        tensors = {name: torch.from_numpy(np.array(values)) for name, values in columns.items()}
        return tensors, {
            "tokens": self.tokens,
            "logged": self._logged,
            "history": self.history,
        }

    def restore(self, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> None:
        """Set the state to what :meth:`state` returned, and report all its points again."""
        self.losses, self.norms = (tensors[name].tolist() for name in ("losses", "norms"))
        self._windows = tensors["batches"].tolist()
        self.tokens, self._logged = values["tokens"], values["logged"]
        self.history = [Measurement(*point) for point in values["history"]]
        self._on_metrics(self.history)


class Stopwatch:
    """Measures the duration of a run, and its speed between two logging points.

    Attributes
    ----------
    seconds : duration at the last :meth:`read`, without the time between an interruption and the
        command that resumed the run.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begin = 0.0
        self._since = 0.0, 0

    def start(self, tokens: int) -> None:
        """Begin, or continue after `seconds`, when `tokens` have been trained on."""
        now = time.perf_counter()
        self._begin = now - self.seconds
        self._since = now, tokens

    def read(self) -> None:
        """Update `seconds`."""
        self.seconds = time.perf_counter() - self._begin

    def speed(self, tokens: int) -> float:
        """Tokens per second since the last call or the start, pauses left out.

        Parameters
        ----------
        tokens : trained on so far.
        """
        now, (since, before) = time.perf_counter(), self._since
        self._since = now, tokens
        return (tokens - before) / (now - since)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the block's time out of the speed."""
        start = time.perf_counter()
        yield
        self._since = self._since[0] + time.perf_counter() - start, self._since[1]
