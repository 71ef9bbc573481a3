"""The training loop: random weights in, trained weights and curves out.

Everything but the model's and the optimizer's tensors is a pure function of the step: the batch,
the learning rate, and whether to log or to validate. Nothing is fetched from the device between
logging points.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch

from ergokedro.design.training_windows import TrainingWindows
from ergokedro.errors import ErgokedroError
from ergokedro.models.factory import build_model, n_parameters, weights_fingerprint
from ergokedro.models.gpt_neox import GPTNeoX, GPTNeoXConfig
from ergokedro.parameters import TrainingParameters
from ergokedro.progress import ProgressBar, Stopped
from ergokedro.training.batches import batches_on
from ergokedro.training.checkpoint import Checkpoint, Checkpoints, capture, restore
from ergokedro.training.device import autocast, choose_machine, cpu_threads, keep_freed_memory
from ergokedro.training.distributed import Alone
from ergokedro.training.evaluation import token_nll
from ergokedro.training.lr_schedule import learning_rate, points
from ergokedro.training.optimizers import make_optimizers, update
from ergokedro.training.stability import stability

log = logging.getLogger(__name__)
Loss = Callable[[torch.Tensor], torch.Tensor]
ALONE = Alone()


class Measurement(NamedTuple):
    """One point of a training curve; losses in nats a token."""

    step: int
    tokens: int
    metric: str
    component: str
    value: float


@dataclass(frozen=True)
class TrainingResult:
    """What a training run gives.

    Attributes
    ----------
    model : the trained model, on the CPU.
    history : the curves, one row per :class:`Measurement`.
    summary : sizes, fingerprints, stability and speed; JSON-able.
    """

    model: GPTNeoX
    history: pd.DataFrame
    summary: dict[str, Any]


def accumulate(
    loss_of: Loss, rows: torch.Tensor, micro_batch: int, batch: int | None = None
) -> torch.Tensor:
    """Add the gradients of the rows' share of a batch's mean NLL, and give that share.

    `loss_of` gives the mean NLL of windows. Every window has as many predictions, so a micro-batch
    weighs by its number of windows: by its tokens, not by one over the number of micro-batches.

    Parameters
    ----------
    rows : windows, int64 (b, W), which pass through the model `micro_batch` at a time.
    batch : windows of the whole batch, if `rows` are not all of it.
    """
    total = torch.zeros((), device=rows.device)
    for part in rows.split(micro_batch) if len(rows) else ():
        with autocast(rows.device):
            loss = loss_of(part) * (len(part) / (batch or len(rows)))
        loss.backward()
        total += loss.detach()
    return total


def training_loss(model: GPTNeoX, device: torch.device, compiled: bool | None) -> Loss:
    """The model's loss, compiled if asked for; by default on CUDA, where launching the many small
    kernels costs more than their work. Evaluation keeps the model as it is."""
    if not (device.type == "cuda" if compiled is None else compiled):
        return model.loss
    # The last batch of an epoch may be smaller: two graphs of fixed shapes.
    return cast(Loss, torch.compile(model.loss, dynamic=False))


def train(
    config: GPTNeoXConfig,
    windows: TrainingWindows,
    params: TrainingParameters,
    seed: int,
    *,
    name: str,
    validation: dict[str, np.ndarray],
    on_metrics: Callable[[list[Measurement]], None] = lambda measurements: None,
    checkpoints: Checkpoints | None = None,
    ranks: Alone = ALONE,
) -> TrainingResult:
    """Train a model from random weights, or from where an earlier call was interrupted.

    Parameters
    ----------
    config : of :func:`ergokedro.models.factory.model_config`.
    windows : what to train on, in order.
    seed : of the initial weights.
    name : shown beside the progress.
    validation : component -> integers (n, W), measured now and then.
    on_metrics : receives the points of the curves as they come, those of an interrupted call first.
    checkpoints : of this run, or None to keep none.
    ranks : the processes that share the work, this one among them.

    Raises
    ------
    ErgokedroError
        If a loss or a gradient norm is not finite.
    """
    keep_freed_memory()
    tokens_a_step = params.batch_size * windows.window_length
    machine = choose_machine(params, config.multiplied_weights, tokens_a_step)
    with cpu_threads(machine.threads):
        model = build_model(config, seed)
        initial = weights_fingerprint(model)
        model.to(machine.device).train()
        optimizers = make_optimizers(model, params)
        loop = _Loop(model, optimizers, windows, params, validation, on_metrics, ranks)
        loop.machine = {
            "device": str(machine.device),
            "threads": machine.threads,
            "processes": ranks.size,
        }
        loop.go_on(checkpoints, name)
        total = loop.steps * loop.tokens_a_step
        with ranks.progress_bar(name, total, "tokens", done=loop.tokens) as bar:
            loop.run(bar, name)
    schedule = [learning_rate(step, loop.steps, params) for step in range(loop.steps)]
    summary = {
        "seed": seed,
        "steps": loop.steps,
        "tokens_seen": loop.tokens,
        "epochs": params.epochs,
        "batch_size": params.batch_size,
        "parameters": n_parameters(model),
        "initial_weights": initial,
        "final_weights": weights_fingerprint(model),
        "schedule": hashlib.sha256(np.array(schedule).tobytes()).hexdigest(),
        **stability(np.array(loop.losses), np.array(loop.norms)),
        "seconds": loop.seconds,
        "tokens_per_second": loop.tokens / loop.seconds,
        **loop.machine,
    }
    return TrainingResult(model.cpu(), pd.DataFrame(loop.history), summary)


@dataclass
class _Loop:
    """The state of a run and the steps that move it on."""

    model: GPTNeoX
    optimizers: list[torch.optim.Optimizer]
    windows: TrainingWindows
    params: TrainingParameters
    validation: dict[str, np.ndarray]
    on_metrics: Callable[[list[Measurement]], None]
    ranks: Alone
    step: int = 0
    tokens: int = 0
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)  # their numbers of windows
    history: list[Measurement] = field(default_factory=list)
    seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)
    # Scalars that still live on the device, one pair per step.
    _pending: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    _logged: int = 0  # steps that the curves cover
    _since: tuple[float, int] = (0.0, 0)
    _checkpoints: Checkpoints | None = None

    def __post_init__(self) -> None:
        self.micro_batch = self.params.micro_batch or self.params.batch_size
        device = next(self.model.parameters()).device
        self.batch = batches_on(device, self.windows, self.params.batch_size)
        self.loss_of = training_loss(self.model, device, self.params.compile)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.params.epochs * self.windows.steps_per_epoch(self.params.batch_size)

    @property
    def tokens_a_step(self) -> float:
        """Mean over the run, in which the last batch of an epoch may be smaller."""
        tokens = self.params.epochs * self.windows.n_windows * self.windows.window_length
        return tokens / self.steps

    def go_on(self, checkpoints: Checkpoints | None, name: str) -> None:
        """Save into `checkpoints` from now on, and start from the latest there, if there is one."""
        self._checkpoints = checkpoints
        found = checkpoints.latest(self.steps) if checkpoints else None
        if found is None:
            return
        restore(found.tensors, self.model, self.optimizers)
        self.losses, self.norms = (found.tensors[key].tolist() for key in ("losses", "norms"))
        self.batches = found.tensors["batches"].tolist()
        self.step = found.step
        self.tokens, self.seconds, self._logged, machine = (
            found.state[key] for key in ("tokens", "seconds", "logged", "machine")
        )
        if self.step == self.steps:
            self.machine = machine
        elif self.machine != machine:
            log.warning(
                "%s was begun with %s and goes on with %s: the same up to rounding alone",
                name,
                machine,
                self.machine,
            )
        self.history = [Measurement(*point) for point in found.state["history"]]
        if self.ranks.leads:
            self.on_metrics(self.history)

    def run(self, bar: ProgressBar, name: str) -> None:
        """The steps that are left. Whoever stops them finds a checkpoint."""
        if self.step == self.steps:
            return
        start = time.perf_counter() - self.seconds
        log_at = points(self.steps, self.params.log_points)
        validate_at = points(self.steps, self.params.validation_points)
        if self.step == 0:
            self._validate()
        self._since = time.perf_counter(), self.tokens
        while self.step < self.steps:
            before = self.tokens
            self._advance()
            shown = self._log() if self.step in log_at else {}
            if self.step in validate_at:
                self._validate()
            self.seconds = time.perf_counter() - start
            self._save()
            try:
                bar.update(self.tokens - before, **shown)
            except Stopped:
                self._save_at_once(name)
                raise

    def _save(self) -> None:
        """A checkpoint, if one is due."""
        if self._checkpoints is None or not self.ranks.leads:
            return
        if not self._checkpoints.due(self.step, self.steps):
            return
        with self._clock_stopped():
            self._checkpoints.save(self._state(), self.steps)

    def _save_at_once(self, name: str) -> None:
        if self._checkpoints is not None and self.ranks.leads:
            self._checkpoints.save(self._state(), self.steps)
            log.info("%s: stopped after step %d of %d, which is kept", name, self.step, self.steps)

    def _state(self) -> Checkpoint:
        self._fetch()
        tensors = capture(self.model, self.optimizers)
        if self.step == self.steps:  # nothing goes on from here
            tensors = {n: t for n, t in tensors.items() if not n.startswith("optimizer.")}
        curves = {"losses": self.losses, "norms": self.norms, "batches": self.batches}
        tensors |= {name: torch.from_numpy(np.array(values)) for name, values in curves.items()}
        state = {
            "tokens": self.tokens,
            "seconds": self.seconds,
            "logged": self._logged,
            "machine": self.machine,
            "history": self.history,
        }
        return Checkpoint(self.step, tensors, state)

    def _advance(self) -> None:
        """One optimizer step; waits for nothing on the device."""
        batch = self.batch(self.step)
        share = self._backward(self.ranks.part(batch), len(batch))
        loss = self.ranks.add_up(self.model, share)
        rate = learning_rate(self.step, self.steps, self.params)
        norm = update(self.model, self.optimizers, rate, self.params.gradient_clip)
        self._pending.append((loss, norm))
        self.batches.append(len(batch))
        self.tokens += batch.numel()
        self.step += 1

    def _backward(self, rows: torch.Tensor, batch: int) -> torch.Tensor:
        """The rows' share of the batch's loss and gradients, in smaller micro-batches if memory
        is too small."""
        while True:
            try:
                return accumulate(self.loss_of, rows, self.micro_batch, batch)
            except torch.OutOfMemoryError:
                self.model.zero_grad(set_to_none=True)
                if self.micro_batch == 1:
                    raise ErgokedroError(
                        "A single window does not fit in the device's memory. Choose a smaller "
                        "model.preset or mixture.window_length."
                    ) from None
            self.micro_batch = -(-min(self.micro_batch, len(rows)) // 2)
            torch.cuda.empty_cache()
            log.warning(
                "Out of memory: micro-batches of %d windows from here on; the batch stays %d",
                self.micro_batch,
                self.params.batch_size,
            )

    def _log(self) -> dict[str, str]:
        """Fetch the losses since the last point; give what the progress shows."""
        self._fetch()
        new = slice(self._logged, self.step)
        # Over tokens, not over batches: the last batch of an epoch may be smaller.
        loss = float(np.average(self.losses[new], weights=self.batches[new]))
        norm = float(np.mean(self.norms[new]))
        self._logged = self.step
        now = time.perf_counter()
        rate = (self.tokens - self._since[1]) / (now - self._since[0])
        self._since = now, self.tokens
        self._record(
            {
                ("train_loss", ""): loss,
                ("learning_rate", ""): learning_rate(self.step - 1, self.steps, self.params),
                ("gradient_norm", ""): norm,
                ("tokens_per_second", ""): rate,
            }
        )
        return {"loss": f"{loss:.4f}", "tokens/s": f"{rate:,.0f}"}

    def _fetch(self) -> None:
        """Losses and gradient norms of the pending steps, in one copy from the device."""
        if not self._pending:
            return
        flat = torch.stack([scalar.float() for pair in self._pending for scalar in pair])
        self._pending = []
        losses, norms = flat.cpu().double().numpy().reshape(-1, 2).T
        self.losses += losses.tolist()
        self.norms += norms.tolist()
        self._check_finite(losses, norms)

    def _check_finite(self, losses: np.ndarray, norms: np.ndarray) -> None:
        """Stop at the first step from which the weights cannot recover."""
        bad = ~(np.isfinite(losses) & np.isfinite(norms))
        if bad.any():
            first = int(bad.argmax())
            raise ErgokedroError(
                f"Training diverged at step {self.step - len(losses) + first + 1} of {self.steps}: "
                f"loss {losses[first]}, gradient norm {norms[first]}. Lower "
                f"training.learning_rate (now {self.params.learning_rate}) or "
                f"training.gradient_clip (now {self.params.gradient_clip})."
            )

    def _validate(self) -> None:
        if not self.ranks.leads:
            return
        batch = 4 * self.params.batch_size
        with self._clock_stopped():
            self._record(
                {
                    ("validation_xe", component): float(
                        token_nll(self.model, tokens, batch).mean(dtype=np.float64)
                    )
                    for component, tokens in self.validation.items()
                }
            )

    @contextmanager
    def _clock_stopped(self) -> Iterator[None]:
        """What happens here is no part of the training speed."""
        start = time.perf_counter()
        yield
        self._since = self._since[0] + time.perf_counter() - start, self._since[1]

    def _record(self, values: dict[tuple[str, str], float]) -> None:
        new = [
            Measurement(self.step, self.tokens, metric, component, value)
            for (metric, component), value in values.items()
        ]
        self.history += new
        if self.ranks.leads:
            self.on_metrics(new)
