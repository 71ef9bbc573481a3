"""Everything that a GPU changes, in one command: correctness first, then speed beside peers.

    python benchmarks/gpu.py --out build/gpu               # one GPU, under 9 minutes, no network
    python benchmarks/gpu.py --device cpu --small          # the same code on a CPU, for the tests

Writes `gpu.json` and `gpu.md` (the table in docs/performance.md). Models have Pythia's shapes and
random weights; windows are 100 random tokens of its vocabulary. Training is bfloat16 autocast over
float32 weights with AdamW on a GPU, for every peer. Speeds are medians over alternating repeats.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ergokedro.models.factory import build_model
from ergokedro.parameters import CheckpointParameters, TrainingParameters
from ergokedro.training.batches import batches_on
from ergokedro.training.checkpoint import Checkpoints
from ergokedro.training.device import autocast
from ergokedro.training.evaluation import token_nll
from ergokedro.training.job import TrainingJob
from ergokedro.training.optimizers import OPTIMIZERS
from ergokedro.training.step import accumulate, training_loss, update
from ergokedro.training.trainer import train
from gpu_scale import WINDOW, Scale, make_windows, rate, relative, wait


def parity(scale: Scale) -> dict[str, float]:
    """Relative differences between the device and the CPU in float32 of one model."""
    config = scale.config(scale.presets[0])
    rows = scale.tokens(8)
    here, there = build_model(config, 0), build_model(config, 0).to(scale.device)
    losses, gradients = [], []
    for model in (here, there):
        device = next(model.parameters()).device
        losses.append(accumulate(model.loss, torch.from_numpy(rows).to(device), len(rows)))
        gradients.append(torch.cat([p.grad.flatten().cpu() for p in model.parameters()]))  # type: ignore[union-attr]
    nll = [torch.from_numpy(token_nll(model, rows, 4)) for model in (here, there)]
    return {
        "loss": relative(losses[1], losses[0]),
        "gradients": relative(gradients[1], gradients[0]),
        "nll": relative(nll[1], nll[0]),
    }


def own_step(scale: Scale, preset: str, compiled: bool) -> Callable[[], int]:
    """The project's training step, on tokens that live on the device."""
    model = build_model(scale.config(preset), 0).to(scale.device).train()
    optimizers = OPTIMIZERS["adamw"](model, TrainingParameters())
    batch = batches_on(scale.device, make_windows(scale, 64 * scale.batch), scale.batch)
    loss = training_loss(model, scale.device, compiled)
    step = iter(range(10**9))

    def run() -> int:
        rows = batch(next(step))
        accumulate(loss, rows, len(rows))
        update(model, optimizers, 1e-4, 1.0)
        return rows.numel()

    return run


def reference_model(scale: Scale, preset: str) -> Any:
    """transformers' model of the same shape."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(GPTNeoXConfig(**scale.config(preset)))


def reference_step(scale: Scale, preset: str) -> Callable[[], int]:
    """transformers' model in a plain loop with fused AdamW."""
    model = reference_model(scale, preset).to(scale.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    rows = torch.from_numpy(scale.tokens(scale.batch)).to(scale.device)

    def run() -> int:
        with autocast(scale.device):
            logits = model(input_ids=rows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), rows[:, 1:].flatten()
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return rows.numel()

    return run


class TokenRows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """What HF Trainer reads."""

    def __init__(self, rows: np.ndarray):
        self._rows = torch.from_numpy(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self._rows[index], "labels": self._rows[index]}


def trainer_rate(scale: Scale, preset: str) -> float:
    """Tokens per second of transformers' Trainer with its defaults and bf16."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Clock(TrainerCallback):
        begin, steps = 0.0, 0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                wait(scale.device)
                self.begin = time.perf_counter()
            self.steps = state.global_step - 3
            control.should_training_stop = (
                state.global_step > 3 and time.perf_counter() - self.begin > scale.seconds
            )

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            folder,
            per_device_train_batch_size=scale.batch,
            num_train_epochs=100,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
            logging_strategy="no",
            bf16=scale.device.type == "cuda",
            use_cpu=scale.device.type == "cpu",
        )
        data = TokenRows(scale.tokens(50 * scale.batch))
        Trainer(reference_model(scale, preset), args, train_dataset=data, callbacks=[clock]).train()
    wait(scale.device)
    return clock.steps * scale.batch * WINDOW / (time.perf_counter() - clock.begin)


def training_speeds(scale: Scale, preset: str) -> dict[str, float]:
    """Median tokens per second of every peer, which take turns."""
    steps = {
        "ergokedro, compiled": own_step(scale, preset, compiled=True),
        "ergokedro, eager": own_step(scale, preset, compiled=False),
        "transformers' model in a plain loop": reference_step(scale, preset),
    }
    if scale.device.type == "cpu":  # compiling for a CPU takes longer than the rest
        steps.pop("ergokedro, compiled")
    speeds: dict[str, list[float]] = {}
    for _ in range(scale.repeats):
        for name, step in steps.items():
            speeds.setdefault(name, []).append(rate(step, scale))
    try:
        speeds["HF Trainer"] = [trainer_rate(scale, preset)]
    except ImportError as error:
        print(f"HF Trainer was not measured: {error}")
    return {name: float(np.median(values)) for name, values in speeds.items()}


def evaluation_speeds(scale: Scale, preset: str) -> dict[str, float]:
    """NLL of windows, and its limit: the forward pass to the logits alone."""
    model = build_model(scale.config(preset), 0).to(scale.device).eval()
    rows = scale.tokens(scale.batch)
    batch = torch.from_numpy(rows).to(scale.device)

    def nll() -> int:
        token_nll(model, rows, scale.batch)
        return rows.size

    def forward() -> int:
        with torch.inference_mode():
            model(batch[:, :-1])
        return rows.size

    return {"evaluation": rate(nll, scale), "forward pass alone": rate(forward, scale)}


def small_training(**changes: Any) -> TrainingParameters:
    """Settings of the runs that check correctness."""
    settings = {"epochs": 1, "batch_size": 16, "optimizer": "muon", "log_points": 4}
    return TrainingParameters(**{**settings, "validation_points": 1, **changes})


def resume(scale: Scale) -> dict[str, float]:
    """A run that stops in the middle and resumes, beside one that does not: relative difference of
    the final weights (0 means equal bits; a GPU adds up gradients in an order that varies)."""
    from ergokedro import progress

    windows = make_windows(scale, 256)
    params = small_training(device=scale.device.type, compile=False)
    job = TrainingJob("k1", scale.config("micro"), windows, params, seed=0)

    def run(folder: str | None, on_metrics: Callable[[Any], None] = lambda points: None) -> Any:
        kept = None
        if folder is not None:
            kept = Checkpoints(Path(folder), "k1", {}, CheckpointParameters(every=4))
        return train(job, checkpoints=kept, on_metrics=on_metrics)

    def stop_at_first_point(points: Any) -> None:
        if points and points[0].step >= 4:
            progress.stop()

    with tempfile.TemporaryDirectory() as folder:
        try:
            run(folder, stop_at_first_point)
        except progress.Stopped:
            progress.resume()
        resumed = run(folder)
    whole = [run(None) for _ in range(2)]
    return {
        "resumed against uninterrupted": _weights_difference(resumed.model, whole[0].model),
        "uninterrupted against itself": _weights_difference(whole[1].model, whole[0].model),
    }


def _weights_difference(one: torch.nn.Module, two: torch.nn.Module) -> float:
    flat = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (one, two)]
    return relative(*flat)


def out_of_memory(scale: Scale) -> dict[str, bool]:
    """Training with a share of the memory that the whole batch does not fit in."""
    if scale.device.type != "cuda":
        return {"halved micro-batches finish the run": True}
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(4e9 / total)
    try:
        params = small_training(batch_size=1024, device="cuda", compile=False)
        windows = make_windows(scale, 2048)
        config = scale.config(scale.presets[0])
        result = train(TrainingJob("k1", config, windows, params, seed=0))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    finite = bool(np.isfinite(result.history.value).all())
    return {"halved micro-batches finish the run": finite}


def device_windows(scale: Scale) -> dict[str, float | bool]:
    """Batches gathered on the device equal the host's; tokens per second of both."""
    windows = make_windows(scale, 64 * scale.batch)
    resident = batches_on(scale.device, windows, scale.batch)
    equal = all(
        np.array_equal(resident(step).cpu().numpy(), windows.batch(step, scale.batch))
        for step in (0, 1, 63, 64)
    )
    step = iter(range(10**9))

    def from_host() -> int:
        rows = torch.from_numpy(windows.batch(next(step), scale.batch)).to(scale.device)
        return rows.numel()

    return {
        "equal to the host's": equal,
        "gathered on the device, tokens/s": rate(lambda: resident(next(step)).numel(), scale),
        "sent from the host, tokens/s": rate(from_host, scale),
    }


def _train_alone(scale: Scale, preset: str, results: Any) -> None:
    results.put(rate(own_step(scale, preset, compiled=False), scale, warm_up=10))


def two_at_a_time(scale: Scale, preset: str) -> dict[str, float]:
    """Tokens per second of one run alone, and of two processes together, uncompiled."""
    context = multiprocessing.get_context("spawn")
    together = {}
    for runs in (1, 2):
        results = context.Queue()
        workers = [
            context.Process(target=_train_alone, args=(scale, preset, results)) for _ in range(runs)
        ]
        for worker in workers:
            worker.start()
        together[f"{runs} at a time"] = sum(results.get() for _ in workers)
        for worker in workers:
            worker.join()
    return together


def measure(scale: Scale, record: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """All measurements, each printed and recorded when it is made.

    What fails is recorded as such and does not cost the others, since a GPU's time is short.
    """
    middle = scale.presets[len(scale.presets) // 2]
    parts: dict[str, Callable[[], Any]] = {
        "parity": lambda: parity(scale),
        "device windows": lambda: device_windows(scale),
        "resume": lambda: resume(scale),
        "out of memory": lambda: out_of_memory(scale),
        **{f"training {name}": partial(training_speeds, scale, name) for name in scale.presets},
        f"evaluation {middle}": lambda: evaluation_speeds(scale, middle),
        f"two runs {scale.presets[0]}": lambda: two_at_a_time(scale, scale.presets[0]),
    }
    results: dict[str, Any] = {}
    for name, part in parts.items():
        start = time.perf_counter()
        try:
            results[name] = part()
        except Exception as error:
            traceback.print_exc()
            results[name] = {"failed": repr(error)[:200]}
        if scale.device.type == "cuda":
            torch.cuda.empty_cache()
        seconds = time.perf_counter() - start
        print(f"{name} ({seconds:.0f} s): {json.dumps(results[name])}", flush=True)
        record(results)
    return results


def markdown(results: dict[str, Any], machine: str) -> str:
    """The results as tables."""
    lines = [machine, ""]
    for name, values in results.items():
        lines += [f"| {name} | |", "|---|---|"]
        for key, value in values.items():
            lines.append(f"| {key} | {_cell(value)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """A number with three digits, or thousands with separators."""
    if isinstance(value, (bool, str)):
        return str(value)
    return f"{value:,.0f}" if value > 1000 else f"{value:,.3g}"


def describe(device: torch.device) -> str:
    """The device and the versions that the results belong to."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return f"{name}, torch {torch.__version__}"


def main() -> None:
    """Measure and write; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    args = parser.parse_args()
    device = torch.device(args.device)
    presets = ("pythia-14m", "pythia-70m", "pythia-160m")
    scale = Scale(device, presets, 50_304, batch=256, seconds=3, repeats=3)
    if args.small:
        scale = Scale(device, ("micro",), 512, batch=4, seconds=0.1, repeats=1)
    args.out.mkdir(parents=True, exist_ok=True)

    def record(results: dict[str, Any]) -> None:
        content = json.dumps({"machine": describe(device), **results}, indent=2)
        (args.out / "gpu.json").write_text(content, encoding="utf-8")
        (args.out / "gpu.md").write_text(markdown(results, describe(device)), encoding="utf-8")

    results = measure(scale, record)
    sys.exit(any("failed" in values for values in results.values()))


if __name__ == "__main__":
    main()
