"""The experiments on real text, trained on a GPU machine that has PyTorch but no Kedro.

    python docs/results/gpu.py prepare CORPUS CARRY     # here: designs, and what `train` needs
    python docs/results/gpu.py train CARRY OUT SECONDS  # there: all runs, some groups at a time

`train` continues where an earlier call with the same folder OUT stopped; names of experiments after
SECONDS select some. `gpu_results.py` takes the results from OUT. A machine with Kedro needs none of
this: there `kedro run` trains the same runs one by one.

What a group of runs leaves is one file. In it NLL is rounded so that the sums over the first tokens
of a window are exact to half a step (1/32 nat on test text, 1/2 nat on validation text): the mean
of a window is off by at most 0.0002 nats per token on test text, and means over windows far less.
"""

from __future__ import annotations

import io
import json
import lzma
import multiprocessing
import os
import queue
import shutil
import sys
import tarfile
import time
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
STEPS = {"test": 1 / 32, "validation": 1 / 2}  # nats
WORKERS = int(os.environ.get("WORKERS", 6))
CYCLIC3 = {"subsets": "cyclic", "draws": 3}
RATES = {"micro": 8e-3, "tiny": 1e-2, "pythia-14m": 1e-2}


def experiments() -> dict[str, dict[str, Any]]:
    """Settings of every experiment beside those of the environment `laptop`, most wanted first."""

    def of(preset: str, tokens: int | None, documents: int, **settings: Any) -> dict[str, Any]:
        return {
            "shared_data": "abstracts",
            "model": {"preset": preset},
            "training": {"learning_rate": RATES[preset]} | settings.pop("training", {}),
            "mixture": {"total_tokens": tokens} | settings.pop("mixture", {}),
            "evaluation": {"windows_per_document": 1, "max_documents": documents},
            **settings,
        }

    own = CYCLIC3 | {
        "specialists": True,
        "specialist_epochs": "1+2",
        "specialist_form": "grid",
    }
    table = {
        "literal": of("micro", 4_415_000, 800, controls={"seeds": 3}),
        "literal-tiny": of("tiny", 4_415_000, 400, controls={"seeds": 3}),
        "balanced-300k": of("micro", 300_000, 400, controls=CYCLIC3),
        "balanced-600k": of("micro", 600_000, 400, controls=CYCLIC3),
        "balanced-tiny": of("tiny", 300_000, 400, controls=CYCLIC3),
        "literal-1": of("micro", 4_415_000, 800, controls={"seeds": 3}, training={"epochs": 1}),
        "own-text": of("micro", 300_000, 400, controls=own),
        "balanced-14m": of("pythia-14m", 600_000, 400, controls=CYCLIC3),
        "seven": of(
            "micro", 300_000, 200, mixture={"top_n": 7}, controls={"subsets": "cyclic", "draws": 2}
        ),
    }
    for preset in RATES:
        table[f"fulltext-{preset}"] = of(
            preset, None, 100, shared_data="fulltext", controls=CYCLIC3,
            mixture={"top_n": 3, "components": ["cs.LG", "cs.CV", "cs.CL"]},
        )  # fmt: skip
        table[f"fulltext-{preset}"]["evaluation"] = {"windows_per_document": 20}
    for tokens in (150_000, 300_000, 600_000, 1_200_000, 2_400_000):
        for preset in RATES:
            table[f"grid-D{tokens}-{preset}"] = of(
                preset, tokens, 150, controls={"subsets": "cyclic"}
            )
    table["literal-14m"] = of("pythia-14m", 4_415_000, 400, controls={"seeds": 3})
    return table


def settings_of(name: str, corpus: str) -> dict[str, Any]:
    """All settings of an experiment that differ from those of the environment `laptop`."""
    settings = experiments()[name]
    return {
        "experiment": name,
        "corpus": {"source": corpus, "config": settings["shared_data"]},
        "tracking": {"enabled": False},
        **settings,
    }


def prepare(corpus: str, carry: str) -> None:
    """Write the design of every experiment, and what `train` needs into the folder `carry`."""
    from kedro.framework.startup import bootstrap_project

    from ergokedro.data.token_store import TokenStore
    from ergokedro.runtime.sweep import SweepSession

    bootstrap_project(ROOT)
    target = Path(carry)
    target.mkdir(parents=True, exist_ok=True)
    needed: dict[str, list[tuple[int, int]]] = {}
    tasks = {}
    for name, settings in experiments().items():
        params = settings_of(name, corpus)
        design = ROOT / "data" / "05_model_input" / name
        with SweepSession.create(project_path=ROOT, env="laptop", runtime_params=params) as session:
            if not design.exists():
                session.run(pipeline_names=["mixture_design"])
            values = session.load_context().params
        manifests = {
            file.stem: json.loads(file.read_text())
            for file in sorted((design / "manifests").glob("*.json"))
        }
        windows = (design / "evaluation_windows.parquet").read_bytes()
        (target / f"{name}.parquet").write_bytes(windows)
        tasks[name] = {
            "shared_data": settings["shared_data"],
            "manifests": manifests,
            "seed": values["seed"],
            **{key: values[key].model_dump(mode="json") for key in ("model", "training")},
        }
        needed.setdefault(settings["shared_data"], []).extend(_spans(manifests, windows))
    (target / "tasks.json.xz").write_bytes(lzma.compress(json.dumps(tasks).encode(), preset=3))
    for shared, spans in needed.items():
        store = TokenStore(ROOT / "data" / "03_primary" / shared / "token_store")
        tokens = np.zeros_like(store.tokens)
        for start, stop in spans:
            tokens[start:stop] = store.tokens[start:stop]
        print(shared, f"{np.count_nonzero(tokens):,} of {len(tokens):,} tokens are needed")
        folder = target / shared
        folder.mkdir(exist_ok=True)
        shutil.copy(store.path / "store.json", folder)
        (folder / "tokens.bin.xz").write_bytes(lzma.compress(tokens.tobytes(), preset=1))


def _spans(manifests: dict[str, Any], windows: bytes) -> list[tuple[int, int]]:
    """What the runs and their evaluation read of the store."""
    import pandas as pd

    from ergokedro.design.mixture import Manifest

    read = [
        span
        for content in manifests.values()
        for component in Manifest.model_validate(content).components
        for span in component.spans
    ]
    # A window may reach beyond the end of a span of the ring only into the next one's beginning.
    return read + [(start, start + 100) for start in pd.read_parquet(io.BytesIO(windows)).start]


def train(carry: str, out: str, seconds: str, *names: str) -> None:
    """Train and evaluate every run of the experiments, until `seconds` have passed."""
    source, target = Path(carry), Path(out)
    deadline = time.monotonic() + float(seconds)
    target.mkdir(parents=True, exist_ok=True)
    tasks = json.loads(lzma.decompress((source / "tasks.json.xz").read_bytes()))
    for packed in source.glob("*/tokens.bin.xz"):
        if not packed.with_suffix("").exists():
            packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
    context = multiprocessing.get_context("spawn")
    waiting = context.Queue()
    for group in _groups({name: tasks[name] for name in names or tasks}):
        if not (target / f"{group['name']}.tar").exists():
            waiting.put(group)
    workers = [
        context.Process(target=_work, args=(waiting, carry, out, deadline)) for _ in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _groups(tasks: dict[str, Any]) -> list[dict[str, Any]]:
    """Runs that can be trained together, in the order of the experiments."""
    result = []
    for name, task in tasks.items():
        alike: dict[tuple[Any, ...], list[str]] = {}
        for run, manifest in task["manifests"].items():
            windows = sum(component["windows"] for component in manifest["components"])
            key = windows, manifest.get("repeats", 1), manifest.get("rate", 1)
            alike.setdefault(key, []).append(run)
        for number, runs in enumerate(alike.values()):
            result.append({"name": f"{name}.{number}", "experiment": name, "runs": runs})
    return result


def _work(waiting: Any, carry: str, out: str, deadline: float) -> None:
    """Train groups until none is left or the time is over."""
    import torch

    torch.set_num_threads(2)
    tasks = json.loads(lzma.decompress((Path(carry) / "tasks.json.xz").read_bytes()))
    while time.monotonic() < deadline:
        try:
            group = waiting.get(timeout=1)
        except queue.Empty:
            return
        for compiled in (None, False):  # None: where the device is a GPU
            try:
                task = tasks[group["experiment"]]
                task["training"]["compile"] = compiled
                _train_group(group, task, Path(carry), Path(out))
                break
            except Exception:
                print(f"{group['name']} failed", traceback.format_exc()[-1500:], flush=True)


def _train_group(group: dict[str, Any], task: dict[str, Any], source: Path, target: Path) -> None:
    import pandas as pd
    import torch

    from ergokedro.data.token_store import TokenStore
    from ergokedro.design.mixture import Manifest
    from ergokedro.parameters import ModelParameters, TrainingParameters
    from ergokedro.training.run import RunSettings, evaluate_run, run_summary, training_job
    from ergokedro.training.together import train_together

    begin = time.monotonic()
    store = TokenStore(source / task["shared_data"])
    windows = pd.read_parquet(source / f"{group['experiment']}.parquet")
    settings = RunSettings(
        ModelParameters.model_validate(task["model"]),
        TrainingParameters.model_validate(task["training"]),
        task["seed"],
    )
    manifests = [Manifest.model_validate(task["manifests"][run]) for run in group["runs"]]
    jobs = [training_job(manifest, store, settings, windows) for manifest in manifests]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results = train_together(jobs, device)
    trained = time.monotonic()
    with tarfile.open(target / f"{group['name']}.tmp", "w") as archive:
        for manifest, job, result in zip(manifests, jobs, results, strict=True):
            summary = run_summary(manifest, settings.model, job.params, result.summary)
            arrays = evaluate_run(result.model, summary, manifest, store, windows, batch_size=512)
            result.model.cpu()
            folder = f"{group['experiment']}/{manifest.run}"
            history = io.BytesIO()
            result.history.to_parquet(history)
            _add(archive, f"{folder}/history.parquet", history.getvalue())
            _add(archive, f"{folder}/summary.json", summary.model_dump_json().encode())
            _add(archive, f"{folder}/meta.json", arrays.meta.model_dump_json().encode())
            for split, nll in arrays.nll.items():
                _add(archive, f"{folder}/{split}.nll", encode(nll, STEPS[split]))
    (target / f"{group['name']}.tmp").rename(target / f"{group['name']}.tar")
    tokens = sum(job.tokens for job in jobs)
    print(
        f"{group['name']}: {len(jobs)} runs, {jobs[0].steps} steps, {tokens / 1e6:.1f} M tokens in "
        f"{trained - begin:.1f} s ({tokens / (trained - begin) / 1e6:.2f} M/s), evaluation "
        f"{time.monotonic() - trained:.1f} s, XE {np.mean(arrays.nll['test']):.4f}, "
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB",
        flush=True,
    )


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def encode(nll: np.ndarray, step: float) -> bytes:
    """float32 (windows, tokens) -> bytes; sums over the first tokens are exact to half a step."""
    sums = np.round(np.cumsum(nll, axis=1, dtype=np.float64) / step)
    steps = np.diff(sums, axis=1, prepend=0).astype("<u2")
    planes = steps.view(np.uint8).reshape(*steps.shape, 2)
    packer = zlib.compressobj(6, strategy=zlib.Z_HUFFMAN_ONLY)
    low = packer.compress(planes[..., 0].tobytes()) + packer.flush()
    high = zlib.compress(planes[..., 1].tobytes())
    header = json.dumps([*steps.shape, step, len(low)]).encode()
    return len(header).to_bytes(2, "little") + header + low + high


def decode(content: bytes) -> np.ndarray:
    """The inverse of :func:`encode`, as far as it is one."""
    end = 2 + int.from_bytes(content[:2], "little")
    windows, tokens, step, low = json.loads(content[2:end])
    planes = [zlib.decompress(content[end : end + low]), zlib.decompress(content[end + low :])]
    low_bytes, high_bytes = (np.frombuffer(plane, np.uint8).astype(np.float32) for plane in planes)
    return ((low_bytes + 256 * high_bytes) * np.float32(step)).reshape(windows, tokens)


if __name__ == "__main__":
    commands: dict[str, Callable[..., None]] = {"prepare": prepare, "train": train}
    commands[sys.argv[1]](*sys.argv[2:])
