"""Training steps and evaluation on the CPU, beside what people use for them.

    python benchmarks/training.py [--repeats 3] [--seconds 8] [--shape "llama, tiny"]

Every measurement runs in a process of its own, since a warm memory allocator would help the next
one. All peers train the same shape from random weights with AdamW on the same windows of 100
tokens; models and data are made before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ergokedro.parameters import ModelParameters, TrainingParameters
from harness import Peer, compare, describe_machine

WINDOW = 100
# name -> model, vocabulary, windows per batch.
SHAPES: dict[str, tuple[ModelParameters, int, int]] = {
    "tiny, vocabulary 4,096": (ModelParameters(preset="tiny"), 4096, 32),
    "pythia-14m": (ModelParameters(preset="pythia-14m"), 50_304, 32),
    "llama, tiny": (ModelParameters(architecture="llama", preset="tiny"), 4096, 32),
    "mamba2, tiny": (ModelParameters(architecture="mamba2", preset="tiny"), 4096, 32),
}


def tokens(shape: str, n: int) -> np.ndarray:
    """Random windows, int64 (n, 100)."""
    return np.random.default_rng(0).integers(SHAPES[shape][1], size=(n, WINDOW))


def repeat(step: Callable[[], int], seconds: float) -> float:
    """Tokens per second of `step`, which gives its tokens; the first two steps are not counted."""
    for _ in range(2):
        step()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        n += step()
    return n / (time.perf_counter() - start)


def own_training(shape: str, seconds: float) -> float:
    """The project's own step: model, loss, clipping, AdamW, as `train` makes it."""
    import torch

    from ergokedro.models.factory import build_model, model_config
    from ergokedro.training.device import keep_freed_memory
    from ergokedro.training.optimizers import OPTIMIZERS
    from ergokedro.training.step import accumulate, update

    params, vocabulary, batch = SHAPES[shape]
    keep_freed_memory()
    model = build_model(model_config(params, vocabulary), 0)
    optimizers = OPTIMIZERS["adamw"](model, TrainingParameters())
    data = torch.from_numpy(tokens(shape, batch))

    def step() -> int:
        accumulate(model.loss, data, batch)
        update(model, optimizers, 2e-3, 1.0)
        return data.numel()

    return repeat(step, seconds)


def own_evaluation(shape: str, seconds: float) -> float:
    """NLL of windows, as `evaluate` makes it."""
    from ergokedro.models.factory import build_model, model_config
    from ergokedro.training.device import keep_freed_memory
    from ergokedro.training.evaluation import token_nll

    params, vocabulary, batch = SHAPES[shape]
    keep_freed_memory()
    model = build_model(model_config(params, vocabulary), 0)
    data = tokens(shape, batch)

    def step() -> int:
        token_nll(model, data, batch)
        return data.size

    return repeat(step, seconds)


def forward_alone(shape: str, seconds: float) -> float:
    """The limit of evaluation: the model's forward pass to its logits, nothing else."""
    import torch

    from ergokedro.models.factory import build_model, model_config
    from ergokedro.training.device import keep_freed_memory

    params, vocabulary, batch = SHAPES[shape]
    keep_freed_memory()
    model = build_model(model_config(params, vocabulary), 0)
    data = torch.from_numpy(tokens(shape, batch))

    def step() -> int:
        with torch.inference_mode():
            model(data[:, :-1])
        return data.numel()

    return repeat(step, seconds)


def _reference(shape: str) -> Any:
    """transformers' model of the same shape."""
    from transformers import AutoModelForCausalLM

    from ergokedro.models.factory import model_config
    from ergokedro.models.transformers_models.config import configuration

    params, vocabulary, _ = SHAPES[shape]
    return AutoModelForCausalLM.from_config(configuration(model_config(params, vocabulary)))


def plain_loop(shape: str, seconds: float) -> float:
    """A loop in nanoGPT's manner around transformers' model."""
    import torch

    model = _reference(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95))
    data = torch.from_numpy(tokens(shape, SHAPES[shape][2]))

    def step() -> int:
        logits = model(input_ids=data[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), data[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return data.numel()

    return repeat(step, seconds)


def hf_trainer(shape: str, seconds: float) -> float:
    """`transformers.Trainer` with its defaults, on a `datasets` data set."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    import datasets

    _, _, batch = SHAPES[shape]
    rows = tokens(shape, 200 * batch)
    data = datasets.Dataset.from_dict({"input_ids": rows, "labels": rows})

    class Clock(TrainerCallback):
        begin, steps = 0.0, 0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2:
                self.begin = time.perf_counter()
            self.steps = state.global_step - 2
            control.should_training_stop = (
                state.global_step > 2 and time.perf_counter() - self.begin > seconds
            )

    clock = Clock()
    with tempfile.TemporaryDirectory() as directory:
        args = TrainingArguments(
            directory,
            per_device_train_batch_size=batch,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            use_cpu=True,
        )
        Trainer(_reference(shape), args, train_dataset=data, callbacks=[clock]).train()
    return clock.steps * batch * WINDOW / (time.perf_counter() - clock.begin)


def matrix_products(seconds: float) -> float:
    """Float32 operations per second of large matrix products: the machine's rate."""
    import torch

    a = torch.randn(2048, 2048)

    def step() -> int:
        a @ a
        return 2 * 2048**3

    return repeat(step, seconds)


WORKS = {
    "ergokedro": own_training,
    "nanoGPT's manner, transformers' model": plain_loop,
    "HF Trainer": hf_trainer,
    "ergokedro, evaluation": own_evaluation,
    "limit of evaluation: forward pass alone": forward_alone,
}


def peer(work: str, shape: str, seconds: float) -> Peer:
    """One work in a process of its own."""

    def run() -> float:
        command = [sys.executable, __file__, "--work", work, "--shape", shape]
        command += ["--seconds", str(seconds)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        result = json.loads(output.splitlines()[-1])
        _memory.setdefault((work, shape), []).append(result["peak"])
        return float(result["speed"])

    return Peer(work, run)


_memory: dict[tuple[str, str], list[float]] = {}


def main() -> None:
    """Compare; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--work", choices=WORKS)
    parser.add_argument("--shape", choices=SHAPES)
    args = parser.parse_args()
    if args.work:
        speed = WORKS[args.work](args.shape, args.seconds)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({"speed": speed, "peak": peak}))
        return
    describe_machine("torch", "transformers", "accelerate")
    rate = matrix_products(3)
    print(f"float32 matrix products: {rate / 1e9:.0f} GFLOP/s")
    for shape in [args.shape] if args.shape else SHAPES:
        params, vocabulary, batch = SHAPES[shape]
        print(f"\n## {shape}, batch {batch}")
        medians = compare(
            [peer(work, shape, args.seconds) for work in WORKS], "tokens/s", args.repeats
        )
        from ergokedro.models.factory import model_config, multiplied_weights

        n = multiplied_weights(model_config(params, vocabulary))
        share = medians["ergokedro"] * 6 * n / rate
        print(
            f"\nN = {n:,} multiplied weights: 6 N operations per token are {share:.0%} of that rate"
        )
        for work in WORKS:
            print(f"peak memory, {work}: {np.median(_memory[work, shape]):.2f} GB")


if __name__ == "__main__":
    main()
