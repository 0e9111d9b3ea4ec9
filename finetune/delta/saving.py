"""Saving of deltas: the tuned parameters alone, in a directory that names their base."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from compress.core.errors import InputError
from compress.core.model.bundle import Bundle, Tuned
from finetune.delta.record import TENSORS, Base, DeltaRecord, read_record
from finetune.inserted.insertion import insertions

__all__ = ["base_moves", "move_base", "save_delta"]


def save_delta(
    bundle: Bundle, directory: Path | str, *, base: Path | str | None = None, at: Path | None = None
) -> Path:
    """Write the tuned parameters of `bundle` into `directory` (made if missing); returns the directory.

    It receives `delta_config.json`, `delta.safetensors` and the tokenizer; what PEFT can express is written in PEFT's
    own format instead of `delta.safetensors` (`adapter_config.json`, `adapter_model.safetensors`), and names its base
    there, so that `AutoPeftModelForSequenceClassification.from_pretrained` opens it from any working directory.

    Args:
        bundle: a model that a parameter-efficient method has tuned.
        directory: where to write.
        base: where the base is: a directory (written down relative to `directory`), or an id of the hub.
        at: where `directory` will be, if it is to be moved.

    Raises:
        InputError: every weight of the bundle was tuned, or none.
    """
    if bundle.tuned is None:
        raise InputError(
            "there is no delta to save: the model was not tuned by a method that leaves its base as it was",
            advice="tune it with another method than `full`, or save the whole model with compress.save",
        )
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tensors = _write_tensors(bundle, bundle.tuned, directory, base="" if base is None else _absolute(base))
    if bundle.processor is not None:
        bundle.processor.save_pretrained(directory)
    _record(bundle, bundle.tuned, _relative(base, at or directory), tensors).write(directory)
    return directory


def base_moves(directory: Path, base: Path) -> bool:
    """Whether `move_base` would write: the delta names another base than `base`.

    Args:
        directory: of the delta.
        base: the base's directory now.
    """
    record = read_record(directory)
    if record.base.path != _relative(base, directory):
        return True
    if record.tensors == TENSORS:
        return False
    from finetune.inserted.lora.peft_format import named_base

    return named_base(directory) != _absolute(base)


def move_base(directory: Path, base: Path) -> None:
    """Record a new path of a saved delta's base; nothing is written where the directory has it already.

    The record has the path from the delta's directory, and PEFT's configuration the absolute one: PEFT takes a relative
    one from where it is called. So a delta that was moved together with its base is told too.

    Args:
        directory: of the delta.
        base: the base's directory now.
    """
    record = read_record(directory)
    path = _relative(base, directory)
    if record.base.path != path:
        record.model_copy(update={"base": record.base.model_copy(update={"path": path})}).write(directory)
    if record.tensors != TENSORS:
        from finetune.inserted.lora.peft_format import move_base as move_in_peft

        move_in_peft(directory, base=_absolute(base))


def _record(bundle: Bundle, tuned: Tuned, base: str | None, tensors: str) -> DeltaRecord:
    config: Any = bundle.config
    return DeltaRecord(
        method=tuned.method,
        base=Base(fingerprint=tuned.base, architecture=type(bundle.model).__name__, path=base),
        labels=tuple(config.id2label[number] for number in sorted(config.id2label)),
        regression=config.problem_type == "regression",
        problem=config.problem_type,
        changes=tuple(change.data() for change in bundle.changes[tuned.base_changes :]),
        states=tuple(sorted(bundle.states)),
        tensors=tensors,
        trained=tuple(sorted(tuned.names)),
    )


def _write_tensors(bundle: Bundle, tuned: Tuned, directory: Path, *, base: str) -> str:
    """Write the tuned tensors; the name of their file."""
    from safetensors.torch import save_file

    standing = insertions(bundle)
    written = standing[0].write(bundle, directory, base=base) if len(standing) == 1 else None
    if written is None:
        state = bundle.model.state_dict()
        save_file({name: state[name].detach().cpu().clone().contiguous() for name in tuned.names}, directory / TENSORS)
    return written or TENSORS


def _relative(base: Path | str | None, directory: Path) -> str | None:
    if base is None or not Path(base).exists():
        return None if base is None else str(base)
    return Path(os.path.relpath(Path(base).resolve(), directory.resolve())).as_posix()


def _absolute(base: Path | str) -> str:
    """The directory's absolute path; an id of the hub as it is."""
    return str(Path(base).resolve()) if Path(base).exists() else str(base)
