"""Checkpoints of a training run, one file each, from which the run resumes to the same result.

A file holds tensors in safetensors' format and everything else as JSON in its header, so that
reading it runs no code. It appears under its name in one rename, when all of it is on disk.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.optim import Optimizer

from ergokedro.errors import ErgokedroError
from ergokedro.files import atomic_file, canonical_json, fingerprint, flatten
from ergokedro.models.weights import file_tensors, save_tensors
from ergokedro.parameters import CheckpointParameters

log = logging.getLogger(__name__)

# By default: at least 10 s apart, and at most 2 % of the time.
_PAUSE, _SHARE = 10.0, 0.02
_DIGITS = 16  # of an identity's fingerprint, in the name of its folder
_IDENTITY = re.compile(f"[0-9a-f]{{{_DIGITS}}}")
_HEADER = "ergokedro"  # the only metadata key: safetensors writes several in a varying order


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two steps, from which it can be continued.

    Attributes
    ----------
    step : number of optimizer steps made.
    tensors : on the CPU: `model.<name>` as in the model's state dictionary,
        `optimizer.<number>.<parameter>.<name>` as in the optimizers' state dictionaries (not in the
        last checkpoint of a run), and float64 or int64 (steps,) `losses`, `norms` and `batches`.
    state : JSON-able; all that is not a tensor.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]


class Checkpoints:
    """Writes, finds and deletes the checkpoints of one run.

    They are in `folder/<fingerprint of its identity>/`. Those of other identities in `folder` are
    deleted only when this run is finished, so that a command typed by mistake deletes nothing.

    Parameters
    ----------
    folder : of all checkpoints of runs of this name.
    name : of the run, for messages.
    identity : of :func:`ergokedro.training.identity.run_identity`.
    params : when to save, and which checkpoints to keep.
    repeat : train a finished run again; :meth:`latest` then deletes its checkpoints first.
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
        self._identity = json.loads(canonical_json(identity))  # as it is read back
        self._params = params
        self._repeat = repeat
        self._folder = Path(folder) / fingerprint(identity)[:_DIGITS]
        self._saved, self._pause = time.monotonic(), _PAUSE

    def due(self, step: int, steps: int) -> bool:
        """Whether to save a checkpoint after `step` of `steps` steps."""
        if step == steps or (self._params.log_spaced and _is_power_of_two(step)):
            return True
        every = self._params.every
        if every is None:
            return time.monotonic() - self._saved >= self._pause
        return step % max(1, round(every if every >= 1 else every * steps)) == 0

    def _start_over(self, steps: int) -> None:
        """Delete the checkpoints if all `steps` are made and `repeat` is set; only once."""
        if self._repeat and self.finished(steps):
            shutil.rmtree(self._folder)
        self._repeat = False

    def finished(self, steps: int) -> bool:
        """Whether the last checkpoint of a run of `steps` steps exists."""
        return self._file(steps).exists()

    def steps_done(self, steps: int) -> int:
        """How many of the run's `steps` steps need not be made again; only reads file names."""
        files = self._files()
        if not files or (self._repeat and self.finished(steps)):
            return 0
        return _step(files[-1])

    def latest(self, steps: int) -> Checkpoint | None:
        """The checkpoint from which a run of `steps` steps resumes, or None if there is none.

        Files that cannot be read, and those of another identity, are passed over with a warning.
        """
        self._start_over(steps)
        for file in reversed(self._files()):
            try:
                return self._read(file)
            except ErgokedroError as error:
                log.warning("%s: ignored %s", self._name, error)
        return None

    def announce(self, latest: Checkpoint | None, steps: int) -> None:
        """Log whether a run of `steps` steps begins, resumes from `latest`, or is finished."""
        if latest is None:
            self._report_others()
        elif latest.step == steps:
            log.info(
                "%s is finished already and is not trained again (training.repeat=true would)",
                self._name,
            )
        else:
            log.info("%s resumes from step %d of %d", self._name, latest.step, steps)

    def save(self, checkpoint: Checkpoint, steps: int) -> None:
        """Write a checkpoint, then delete those that `params` do not keep.

        Parameters
        ----------
        steps : of the whole run. After the last one, checkpoints of other identities are deleted.
        """
        start = time.monotonic()
        header = {**checkpoint.state, "step": checkpoint.step, "identity": self._identity}
        write_checkpoint(self._file(checkpoint.step), checkpoint.tensors, header)
        for file in self._files()[: -self._params.keep_last]:
            if not (self._params.log_spaced and _is_power_of_two(_step(file))):
                file.unlink()
        for file in self._folder.glob("*.partial"):  # of a killed process
            file.unlink()
        if checkpoint.step == steps:
            for folder in self._others():
                shutil.rmtree(folder)
        self._saved = time.monotonic()
        self._pause = max(_PAUSE, (self._saved - start) / _SHARE)

    def _file(self, step: int) -> Path:
        return self._folder / f"step-{step:09d}.safetensors"

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.safetensors"))

    def _read(self, file: Path) -> Checkpoint:
        checkpoint = read_checkpoint(file)
        if difference := _difference(checkpoint.state["identity"], self._identity):
            raise ErgokedroError(f"{file}, which belongs to another run: {difference}")
        return checkpoint

    def _others(self) -> list[Path]:
        """Folders of other identities; whatever else stands in the folder is left alone."""
        folders = self._folder.parent.glob("*/")
        return [path for path in folders if path != self._folder and _IDENTITY.fullmatch(path.name)]

    def _report_others(self) -> None:
        """Log one line about checkpoints of other identities, if there are any."""
        for folder in self._others():
            for file in sorted(folder.glob("step-*.safetensors"))[-1:]:
                try:
                    other = read_checkpoint(file).state["identity"]
                except ErgokedroError:
                    continue
                log.info(
                    "%s starts from step 0: the checkpoint in %s belongs to another run (%s). It "
                    "is kept until this run is finished; --params experiment=NAME keeps both",
                    self._name,
                    folder,
                    _difference(other, self._identity),
                )
                return


def write_checkpoint(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    """Write one file atomically, with a checksum of its content."""
    text = canonical_json(header).decode()
    content = json.dumps({"checksum": _checksum(tensors, text), "header": text})
    with atomic_file(path) as work:
        save_tensors(work, tensors, {_HEADER: content})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check one file.

    Raises
    ------
    ErgokedroError
        If it is damaged, or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            content = json.loads(file.metadata()[_HEADER])
            # Cloned, since the file is mapped with an alignment that slows arithmetic down.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if content["checksum"] != _checksum(tensors, content["header"]):
            raise ValueError("its checksum differs")
        header = json.loads(content["header"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ErgokedroError(f"{path}, which is not a readable checkpoint: {error}") from error
    return Checkpoint(header.pop("step"), tensors, header)


def capture(
    model: nn.Module, optimizers: list[Optimizer]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The state of a model and its optimizers, for a checkpoint.

    Returns
    -------
    Tensors on the CPU, by the names of :attr:`Checkpoint.tensors`; those that are there already
    are not copied. And the numbers in the optimizers' states and parameter groups, JSON-able.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    numbers: dict[str, Any] = {}
    for which, optimizer in enumerate(optimizers):
        content = optimizer.state_dict()
        for index, values in content["state"].items():
            for key, value in values.items():
                kept = tensors if isinstance(value, torch.Tensor) else numbers
                kept[f"optimizer.{which}.{index}.{key}"] = value
        numbers[f"groups.{which}"] = [_numbers(group) for group in content["param_groups"]]
    return file_tensors(tensors), numbers


def restore(
    tensors: dict[str, torch.Tensor],
    numbers: dict[str, Any],
    model: nn.Module,
    optimizers: list[Optimizer],
) -> None:
    """Set model and optimizers to a state that :func:`capture` returned."""
    weights = {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
    model.load_state_dict(weights)
    for which, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Any]] = {}
        for name, value in (tensors | numbers).items():
            if name.startswith(f"optimizer.{which}."):
                index, key = name.split(".", 3)[2:]
                state.setdefault(int(index), {})[key] = value
        groups = optimizer.state_dict()["param_groups"]
        for group, saved in zip(groups, numbers[f"groups.{which}"], strict=True):
            group.update(saved)
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def _numbers(group: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer may count or adapt in a parameter group."""
    return {key: value for key, value in group.items() if isinstance(value, int | float)}


def _checksum(tensors: dict[str, torch.Tensor], text: str) -> str:
    """128-bit XXH3 hex digest."""
    digest = xxhash.xxh3_128(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """What differs between two identities, such as 'seed is 0 there and 1 here'."""
    theirs, ours = flatten(theirs), flatten(ours)
    return "; ".join(
        f"{key} is {theirs.get(key)} there and {ours.get(key)} here"
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key) != ours.get(key)
    )


def _step(file: Path) -> int:
    return int(file.stem.removeprefix("step-"))


def _is_power_of_two(step: int) -> bool:
    return step > 0 and step & (step - 1) == 0
