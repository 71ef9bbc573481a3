"""Training steps and evaluation on the CPU, beside what people use for them.

    python benchmarks/training.py [--rounds 10] [--steps 5] [--threads 1] [--shape "llama, tiny"]

All peers train the same shape from random weights with AdamW on the same windows of 100 tokens.
Each is a process of its own, since a warm memory allocator would help the next one, and makes a
few steps in turn with the others, so that what else the machine does hits all of them. Processor
time says more than time on the clock where other programs want the cores; then use one thread,
since threads that wait for each other take processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from ergokedro.parameters import ModelParameters, TrainingParameters
from harness import describe_machine

WINDOW = 100
_WARM_UP = 3
# name -> model, vocabulary, windows per batch.
SHAPES: dict[str, tuple[ModelParameters, int, int]] = {
    "tiny, vocabulary 4,096": (ModelParameters(preset="tiny"), 4096, 32),
    "pythia-14m": (ModelParameters(preset="pythia-14m"), 50_304, 32),
    "llama, tiny": (ModelParameters(architecture="llama", preset="tiny"), 4096, 32),
    "mamba2, tiny": (ModelParameters(architecture="mamba2", preset="tiny"), 4096, 32),
}


class Turn(NamedTuple):
    """What some steps took: seconds of processor time and on the clock; the peak memory in GB."""

    processor: float
    clock: float
    peak: float


class Requests:
    """Numbers of steps that come in on standard input; what they took goes to standard output."""

    def __init__(self) -> None:
        self._left, self._start = _WARM_UP, (0.0, 0.0)

    def another(self) -> bool:
        """Whether to make another step; waits until one is wanted, or none any more."""
        if not self._left:
            taken = (now - start for now, start in zip(_clocks(), self._start, strict=True))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(json.dumps(["turn", *taken, peak]), flush=True)
            line = sys.stdin.readline()
            if not line:
                return False
            self._left, self._start = int(line), _clocks()
        self._left -= 1
        return True


def _clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


class Worker:
    """A process that makes steps of one work on request; the first ones are not counted."""

    def __init__(self, work: str, shape: str, threads: int | None):
        command = [sys.executable, __file__, "--work", work, "--shape", shape]
        given = {"OMP_NUM_THREADS": str(threads)} if threads else {}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **given},
        )
        self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def turn(self, steps: int) -> Turn:
        """Make so many steps."""
        assert self._process.stdin
        print(steps, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Turn:
        for line in self._process.stdout or ():
            if line.startswith('["turn"'):
                return Turn(*json.loads(line)[1:])
        raise SystemExit(f"{self._process.args!r} ended with {self._process.wait()}")


def tokens(shape: str, n: int) -> np.ndarray:
    """Random windows, int64 (n, 100)."""
    return np.random.default_rng(0).integers(SHAPES[shape][1], size=(n, WINDOW))


def _own_model(shape: str) -> Any:
    from ergokedro.models.factory import build_model, model_config
    from ergokedro.training.device import keep_freed_memory

    params, vocabulary, _ = SHAPES[shape]
    keep_freed_memory()
    return build_model(model_config(params, vocabulary), 0)


def own_training(shape: str, requests: Requests) -> None:
    """The project's own step: model, loss, clipping, AdamW, as `train` makes it."""
    import torch

    from ergokedro.training.optimizers import OPTIMIZERS
    from ergokedro.training.step import accumulate, update

    model, batch = _own_model(shape), SHAPES[shape][2]
    optimizers = OPTIMIZERS["adamw"](model, TrainingParameters())
    data = torch.from_numpy(tokens(shape, batch))
    while requests.another():
        accumulate(model.loss, data, batch)
        update(model, optimizers, 2e-3, 1.0)


def own_evaluation(shape: str, requests: Requests) -> None:
    """NLL of windows, as `evaluate` makes it."""
    from ergokedro.training.evaluation import token_nll

    model, batch = _own_model(shape), SHAPES[shape][2]
    data = tokens(shape, batch)
    while requests.another():
        token_nll(model, data, batch)


def forward_alone(shape: str, requests: Requests) -> None:
    """The limit of evaluation: the model's forward pass to its logits, nothing else."""
    import torch

    model = _own_model(shape)
    data = torch.from_numpy(tokens(shape, SHAPES[shape][2]))
    with torch.inference_mode():
        while requests.another():
            model(data[:, :-1])


def _reference(shape: str) -> Any:
    """transformers' model of the same shape."""
    from transformers import AutoModelForCausalLM

    from ergokedro.models.factory import model_config
    from ergokedro.models.transformers_models.config import configuration

    params, vocabulary, _ = SHAPES[shape]
    return AutoModelForCausalLM.from_config(configuration(model_config(params, vocabulary)))


def plain_loop(shape: str, requests: Requests) -> None:
    """A loop in nanoGPT's manner around transformers' model."""
    import torch

    model = _reference(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    data = torch.from_numpy(tokens(shape, SHAPES[shape][2]))
    while requests.another():
        logits = model(input_ids=data[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), data[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def hf_trainer(shape: str, requests: Requests) -> None:
    """`transformers.Trainer` with its defaults, on a `datasets` data set."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    import datasets

    batch = SHAPES[shape][2]
    rows = tokens(shape, 200 * batch)
    data = datasets.Dataset.from_dict({"input_ids": rows, "labels": rows})

    class OnRequest(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = not requests.another()

    with tempfile.TemporaryDirectory() as directory:
        args = TrainingArguments(
            directory,
            per_device_train_batch_size=batch,
            max_steps=10**6,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=True,
        )
        requests.another()
        Trainer(_reference(shape), args, train_dataset=data, callbacks=[OnRequest()]).train()


_SIDE = 2048


def matrix_products(shape: str, requests: Requests) -> None:
    """Large float32 matrix products: the machine's rate."""
    import torch

    a = torch.randn(_SIDE, _SIDE)
    while requests.another():
        a @ a


_OWN, _LIMIT = "ergokedro", "float32 matrix products"
WORKS = {
    _OWN: own_training,
    "nanoGPT's manner, transformers' model": plain_loop,
    "HF Trainer": hf_trainer,
    "ergokedro, evaluation": own_evaluation,
    "limit of evaluation: forward pass alone": forward_alone,
    _LIMIT: matrix_products,
}


def measure(
    works: list[str], shape: str, rounds: int, steps: int, threads: int | None
) -> dict[str, list[Turn]]:
    """All turns of each work; every other round is in reverse order."""
    turns: dict[str, list[Turn]] = {work: [] for work in works}
    with ExitStack() as stack:
        workers = {work: stack.enter_context(Worker(work, shape, threads)) for work in works}
        for number in range(rounds):
            for work in works if number % 2 else works[::-1]:
                turns[work].append(workers[work].turn(steps))
    return turns


def show(turns: dict[str, list[Turn]], shape: str, steps: int) -> None:
    """Print a table of medians, and the share of the machine's rate that training reaches."""
    from ergokedro.models.factory import model_config, multiplied_weights

    params, vocabulary, batch = SHAPES[shape]
    n_tokens = steps * batch * WINDOW
    middle = {work: _medians(each) for work, each in turns.items()}
    print(
        "\n| tokens per second of | processor time | ratio | the clock | ratio | peak memory, GB |"
    )
    print("|---|---|---|---|---|---|")
    for work, turn in middle.items():
        if work != _LIMIT:
            cells = " | ".join(
                f"{n_tokens / seconds:,.0f} | {seconds / own:.2f}"
                for seconds, own in zip(turn[:2], middle[_OWN], strict=False)
            )
            print(f"| {work} | {cells} | {turn.peak:.2f} |")
    n = multiplied_weights(model_config(params, vocabulary))
    operations = 6 * n * n_tokens
    rates = [2 * _SIDE**3 * steps / seconds for seconds in middle[_LIMIT][:2]]
    shares = [operations / s / rate for s, rate in zip(middle[_OWN], rates, strict=False)]
    print(
        f"\nN = {n:,} multiplied weights. 6 N operations per token are {shares[0]:.0%} of the rate "
        f"of large matrix products in processor time ({rates[0] / 1e9:.0f} GFLOP/s), "
        f"{shares[1]:.0%} on the clock ({rates[1] / 1e9:.0f} GFLOP/s)."
    )


def _medians(turns: list[Turn]) -> Turn:
    return Turn(*(statistics.median(values) for values in zip(*turns, strict=True)))


def main() -> None:
    """Compare; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5, help="of each peer in each round")
    parser.add_argument("--threads", type=int, help="of each peer; by default torch's choice")
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--works", nargs="*", choices=WORKS, default=list(WORKS))
    parser.add_argument("--work", choices=WORKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        WORKS[args.work](args.shape, Requests())
        return
    describe_machine("torch", "transformers", "accelerate")
    works = list(dict.fromkeys([_OWN, *args.works, _LIMIT]))
    for shape in [args.shape] if args.shape else SHAPES:
        load = os.getloadavg()[0]
        print(f"\n## {shape}, batch {SHAPES[shape][2]}; load of the machine {load:.0f}")
        show(measure(works, shape, args.rounds, args.steps, args.threads), shape, args.steps)


if __name__ == "__main__":
    main()
