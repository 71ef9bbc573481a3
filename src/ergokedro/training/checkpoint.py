"""Checkpoints of a training run, each one file, from which the run goes on to the same end.

A file holds tensors in safetensors' format and everything else as JSON in its header, so that
reading one runs no code. Its name appears in one rename, when all of it is on disk. The schedule
of the learning rate and the order of the data are functions of the step, and nothing in the loop
draws random numbers, so model, optimizer, step and the curves so far are the whole state.
"""

from __future__ import annotations

import ast
import json
import logging
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer

from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_file, canonical_json, fingerprint
from ergokedro.parameters import MACHINE_SETTINGS, CheckpointParameters, TrainingParameters

log = logging.getLogger(__name__)

# Other versions of these libraries and modules may give other bits.
_LIBRARIES = ("numpy", "torch")
# All that computes, relative to the package: a change of it gives a run another identity.
_COMPUTES = ("models/*.py", "training/*.py", "design/training_windows.py")
# By default: at least so many seconds between checkpoints, which take this share of the time.
_PAUSE, _SHARE = 10.0, 0.02
_HEADER = "ergokedro"  # one key: safetensors writes several in an order that varies


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two steps.

    Attributes
    ----------
    step : optimizer steps done.
    tensors : `model.<name>` as in the model's state dictionary, `optimizer.<index>.<name>` as in
        the optimizer's (not in the last checkpoint of a run), and the loop's own; on the CPU.
    state : the loop's other values, JSON-able.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


def run_identity(
    manifest: str, seed: int, model: dict[str, Any], training: TrainingParameters, validation: str
) -> dict[str, Any]:
    """All that decides what a run ends in: runs of equal identity may share checkpoints.

    Parameters
    ----------
    manifest : fingerprint of the manifest, and so of store and tokenizer.
    model : the resolved configuration of the model.
    validation : fingerprint of the windows that the curves are measured on.
    """
    return {
        "manifest": manifest,
        "seed": seed,
        "model": model,
        "training": training.model_dump(mode="json", exclude=MACHINE_SETTINGS),
        "validation": validation,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that compute, and a fingerprint of the project's code that does.

    The code counts, not its version: who repairs the loop must not find the old results again.
    """
    package = Path(__file__).parents[1]
    files = sorted(file for pattern in _COMPUTES for file in package.glob(pattern))
    sources = {file.relative_to(package).as_posix(): file.read_text("utf-8") for file in files}
    return {"code": code_fingerprint(sources), **{n: version(n) for n in _LIBRARIES}}


def code_fingerprint(sources: dict[str, str]) -> str:
    """Hash of Python modules' syntax trees: comments, docstrings and layout do not count.

    Parameters
    ----------
    sources : file name -> source code.
    """
    digest = xxhash.xxh3_64()
    for name, source in sources.items():
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, _HAVE_DOCSTRINGS) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        digest.update(f"{name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


_HAVE_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Checkpoints:
    """The checkpoints of one run, in `folder/<fingerprint of its identity>/`.

    Those of other identities in `folder` are left alone until this run is finished, so a command
    that was typed by mistake costs nobody his work.

    Parameters
    ----------
    name : of the run, for messages.
    identity : of :func:`run_identity`.
    params : when to save, and what to keep.
    repeat : forget the run if it is finished.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        identity: dict[str, Any],
        params: CheckpointParameters,
        repeat: bool = False,
    ):
        self._name = name
        self._identity = json.loads(canonical_json(identity))  # as it will be read
        self._params = params
        self._repeat = repeat
        self._own = Path(folder) / fingerprint(identity)[:16]
        self._saved, self._pause = time.monotonic(), _PAUSE

    def due(self, step: int, steps: int) -> bool:
        """Is one to be saved after `step` of `steps` steps?"""
        if step == steps or (self._params.log_spaced and _is_power_of_two(step)):
            return True
        every = self._params.every
        if every is None:
            return time.monotonic() - self._saved >= self._pause
        return step % max(1, round(every if every >= 1 else every * steps)) == 0

    def start_over(self, steps: int) -> None:
        """Forget the run of `steps` steps, once, if it is finished and is to be repeated."""
        if self._repeat and self.finished(steps):
            shutil.rmtree(self._own)
        self._repeat = False

    def finished(self, steps: int) -> bool:
        """Is there the last checkpoint of a run of `steps` steps?"""
        return self._file(steps).exists()

    def latest(self, steps: int) -> Checkpoint | None:
        """Where to go on in a run of `steps` steps, or None: from the start."""
        self.start_over(steps)
        for file in reversed(self._files()):
            try:
                found = self._read(file)
            except ErgokedroError as error:
                log.warning("%s: ignored %s", self._name, error)
                continue
            if found.step == steps:
                log.info(
                    "%s is finished already and is not run again (training.repeat=true would)",
                    self._name,
                )
            else:
                log.info("%s goes on after step %s of %s", self._name, found.step, steps)
            return found
        self._report_others()
        return None

    def save(self, checkpoint: Checkpoint, steps: int) -> None:
        """Write a checkpoint, then delete what need not be kept."""
        start = time.monotonic()
        header = {**checkpoint.state, "step": checkpoint.step, "identity": self._identity}
        write_checkpoint(self._file(checkpoint.step), checkpoint.tensors, header)
        for file in self._files()[: -self._params.keep_last]:
            if not (self._params.log_spaced and _is_power_of_two(_step(file))):
                file.unlink()
        for file in self._own.glob("*.partial"):  # of a killed process
            file.unlink()
        if checkpoint.step == steps:
            for folder in self._others():
                shutil.rmtree(folder)
        self._saved = time.monotonic()
        self._pause = max(_PAUSE, (self._saved - start) / _SHARE)

    def _file(self, step: int) -> Path:
        return self._own / f"step-{step:09d}.safetensors"

    def _files(self) -> list[Path]:
        return sorted(self._own.glob("step-*.safetensors"))

    def _read(self, file: Path) -> Checkpoint:
        checkpoint = read_checkpoint(file)
        if difference := _difference(checkpoint.state["identity"], self._identity):
            raise ErgokedroError(f"{file}, which is of another run: {difference}")
        return checkpoint

    def _others(self) -> list[Path]:
        return [path for path in self._own.parent.glob("*/") if path != self._own]

    def _report_others(self) -> None:
        """One line on checkpoints that are there and of no use."""
        for folder in self._others():
            for file in sorted(folder.glob("step-*.safetensors"))[-1:]:
                try:
                    there = read_checkpoint(file).state["identity"]
                except ErgokedroError:
                    continue
                log.info(
                    "%s starts anew: the checkpoint in %s is of another run (%s). It stays until "
                    "this run is finished; --params experiment=NAME keeps both",
                    self._name,
                    folder,
                    _difference(there, self._identity),
                )
                return


def write_checkpoint(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    """Write one file atomically, with a checksum of its content."""
    text = canonical_json(header).decode()
    content = json.dumps({"checksum": _checksum(tensors, text), "header": text})
    with atomic_file(path) as work:
        save_file(tensors, work, metadata={_HEADER: content})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check one file.

    Raises
    ------
    ErgokedroError
        If it is damaged, or none of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads(file.metadata()[_HEADER])
            # Cloned, since the file is mapped at an alignment that slows arithmetic.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if content["checksum"] != _checksum(tensors, content["header"]):
            raise ValueError("its checksum differs")
        header = json.loads(content["header"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ErgokedroError(f"{path}, which is no readable checkpoint: {error}") from error
    return Checkpoint(header.pop("step"), tensors, header)


def capture(model: nn.Module, optimizers: list[Optimizer]) -> dict[str, torch.Tensor]:
    """The tensors of all, on the CPU; not copied if they are there already."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for which, optimizer in enumerate(optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{which}.{index}.{key}": t for key, t in values.items()}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def restore(
    tensors: dict[str, torch.Tensor], model: nn.Module, optimizers: list[Optimizer]
) -> None:
    """The opposite of :func:`capture`; the optimizers' groups stay as they were made."""
    weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    model.load_state_dict(weights)
    for which, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer.{which}."):
                index, key = name.split(".")[2:]
                state.setdefault(int(index), {})[key] = tensor
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def _checksum(tensors: dict[str, torch.Tensor], text: str) -> str:
    """128-bit XXH3 hex digest."""
    digest = xxhash.xxh3_128(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """What differs between two identities, such as 'seed 0 there, 1 here'."""
    theirs, ours = _flatten(there), _flatten(here)
    return "; ".join(
        f"{key} {theirs.get(key)} there, {ours.get(key)} here"
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key) != ours.get(key)
    )


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, dict)
        flat |= _flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat


def _step(file: Path) -> int:
    return int(file.stem.removeprefix("step-"))


def _is_power_of_two(step: int) -> bool:
    return step > 0 and step & (step - 1) == 0
