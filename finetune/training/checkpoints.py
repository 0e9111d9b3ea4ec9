"""Checkpoints: trained weights and states of hooks, as safetensors, beside the Trainer's own files.

Frozen weights are as they were when the fit began, so they are not written; packed ones could not be restored either.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from compress.core.errors import StageFailed
from compress.core.file_marks import Mark, damaged_files, marks_of
from compress.core.files import write_whole
from compress.core.fit.hooks import Hook

__all__ = [
    "PLAN",
    "Checkpointing",
    "Finished",
    "claim",
    "last_whole",
    "load_hooks",
    "load_weights",
    "read_json",
    "save_hooks",
    "save_weights",
    "seal",
    "torch_writes",
    "trained_names",
]

FULL = 1 << 16
"""Bytes; a file system with less room than this is full."""
WEIGHTS, HOOKS, STATE, PLAN = "model.safetensors", "hooks.safetensors", "trainer_state.json", "plan.json"
MARKS = "files"
"""The marks of a checkpoint's files: a file of that name, and a key in the state of a finished fit."""


@dataclass(frozen=True)
class Checkpointing:
    """When to write a checkpoint: after so many seconds, at an epoch's end sooner; never at the last step."""

    seconds: float = 180.0
    seconds_at_epoch_end: float = 20.0


def claim(directory: Path, plan: Mapping[str, Any]) -> None:
    """Make `directory` the checkpoint directory of a fit.

    Another fit's files are deleted, and so is a checkpoint that was cut off or damaged: its `trainer_state.json`,
    written last, is not whole, or a file is not as its mark says.

    Args:
        directory: of the fit's checkpoints.
        plan: identity of the fit, as plain data.
    """
    text = json.dumps(plan, sort_keys=True, default=str)
    if directory.is_dir() and read_text(directory / PLAN) != text:
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / PLAN).write_text(text, "utf-8")
    for path in directory.glob("checkpoint-*"):
        if not _whole(path):
            shutil.rmtree(path)


def seal(checkpoint: Path) -> None:
    """Write down the marks of a checkpoint's files, after the last of them."""
    marks = {name: mark.model_dump() for name, mark in marks_of(checkpoint, leave=(MARKS,)).items()}
    write_whole(checkpoint / MARKS, json.dumps(marks))


def _whole(checkpoint: Path) -> bool:
    """Whether a checkpoint is as it was written; what several processes wrote, or an older version, has no marks."""
    if read_json(checkpoint / STATE) is None or not (checkpoint / WEIGHTS).is_file():
        return False
    return not (checkpoint / MARKS).exists() or _as_marked(checkpoint, read_json(checkpoint / MARKS))


def _as_marked(directory: Path, marks: Mapping[str, Any] | None) -> bool:
    try:
        found = {name: Mark.model_validate(mark) for name, mark in (marks or {}).items()}
    except ValidationError:
        return False
    return bool(found) and not damaged_files(directory, found, whole=True)


def last_whole(directory: Path) -> Path | None:
    """The last checkpoint of a claimed directory, or None."""
    steps = {int(path.name.removeprefix("checkpoint-")): path for path in directory.glob("checkpoint-*")}
    return steps[max(steps)] if steps else None


def trained_names(model: nn.Module) -> frozenset[str]:
    """The parameters that have `requires_grad` now."""
    return frozenset(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def save_weights(
    model: nn.Module, directory: Path, names: frozenset[str], state: Mapping[str, Tensor] | None = None
) -> None:
    """The parameters `names` and the buffers, each tensor once however many names it has.

    Args:
        state: the whole state where a launcher has cut the model's own into parts.
    """
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor for name, tensor in (state or _state(model)).items() if name in _kept(model, names)}
    save_file({name: tensors[name].contiguous() for name in once(tensors)}, directory / WEIGHTS)


@torch.no_grad()
def load_weights(model: nn.Module, directory: Path, names: frozenset[str]) -> None:
    """Restore the weights that `save_weights` wrote.

    Args:
        model: in which they are set, in place.
        directory: of the checkpoint.
        names: of the trained parameters.

    Raises:
        StageFailed: the model has other tensors than the checkpoint.
    """
    from safetensors.torch import load_file

    tensors = load_file(directory / WEIGHTS)
    kept = {name: tensor for name, tensor in _state(model).items() if name in _kept(model, names)}
    expected = set(once(kept))
    if expected != set(tensors):
        strange = ", ".join(sorted(expected ^ set(tensors))[:3])
        raise StageFailed(
            f"the checkpoint is of another model: {strange}", where=str(directory), advice="run again with --fresh"
        )
    for name, tensor in tensors.items():
        kept[name].copy_(tensor)


def _state(model: nn.Module) -> dict[str, Tensor]:
    """The model's own parameters and buffers by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _kept(model: nn.Module, names: frozenset[str]) -> frozenset[str]:
    return names | {name for name, _ in model.named_buffers()}


def once(tensors: Mapping[str, Tensor]) -> list[str]:
    """One name for each stored tensor: the first of those that share it."""
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in tensors.items():
        key = (tensor.device, tensor.data_ptr(), tensor.shape) if tensor.numel() else (name,)
        seen.setdefault(key, name)
    return list(seen.values())


def save_hooks(hooks: Sequence[Hook], directory: Path) -> None:
    """Write the state of each hook, by its index.

    Args:
        hooks: of the fit, in order.
        directory: of the checkpoint.
    """
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    states = {
        f"{place}.{name}": tensor.detach().cpu().contiguous().clone()
        for place, hook in enumerate(hooks)
        for name, tensor in hook.state_dict().items()
    }
    save_file(states, directory / HOOKS)


def load_hooks(hooks: Sequence[Hook], directory: Path) -> None:
    """Restore the state of each hook from a checkpoint.

    Args:
        hooks: of the fit, in order.
        directory: of the checkpoint.
    """
    from safetensors.torch import load_file

    states = load_file(directory / HOOKS)
    for place, hook in enumerate(hooks):
        start = f"{place}."
        hook.load_state_dict({name.removeprefix(start): t for name, t in states.items() if name.startswith(start)})


@contextmanager
def torch_writes(directory: Path) -> Iterator[None]:
    """What torch says of a disk that takes no more (a position in its archive) is raised as the error of the disk.

    Asked at once, since files that a stage throws away make room again.

    Args:
        directory: that is written.

    Raises:
        OSError: the disk is full, or does not take the file.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error) for word in ("inline_container", "iostream", "PytorchStreamWriter")):
            raise
        full = shutil.disk_usage(directory).free < FULL
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number), str(directory)) from error


class Finished:
    """A fit that ended: its weights and states stay until the stage is done, so that a stage of many fits resumes."""

    def __init__(self, directory: Path):
        self.directory = directory / "finished"

    def __bool__(self) -> bool:
        state = read_json(self.directory / STATE)
        if state is None:
            return False
        return MARKS not in state or _as_marked(self.directory, state[MARKS])

    def write(self, model: nn.Module, hooks: Sequence[Hook], *, names: frozenset[str], steps: int) -> None:
        """Keep the end, of the parameters `names`; the checkpoints before it are deleted."""
        save_weights(model, self.directory, names)
        save_hooks(hooks, self.directory)
        marks = {name: mark.model_dump() for name, mark in marks_of(self.directory, leave=(STATE,)).items()}
        write_whole(self.directory / STATE, json.dumps({"global_step": steps, MARKS: marks}))
        for path in self.directory.parent.glob("checkpoint-*"):
            shutil.rmtree(path)

    def restore(self, model: nn.Module, hooks: Sequence[Hook], *, names: frozenset[str]) -> int:
        """Put back the end; the number of steps."""
        load_weights(model, self.directory, names)
        load_hooks(hooks, self.directory)
        state = read_json(self.directory / STATE)
        return int(state["global_step"]) if state else 0


def read_text(path: Path) -> str | None:
    """The text of a file; None where it is missing, or is no text any more."""
    try:
        return path.read_text("utf-8") if path.is_file() else None
    except UnicodeDecodeError:
        return None


def read_json(path: Path) -> dict[str, Any] | None:
    """The mapping in a file; None where it is missing or was cut off in writing."""
    try:
        found = json.loads(read_text(path) or "")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
