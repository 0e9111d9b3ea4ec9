"""Record of a delta, `delta_config.json`: its changes, its tensors, and the fingerprint of its base."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from torch import Tensor, nn

from compress.core.checkpoint.guard import guarded, read_object
from compress.core.choice import snake_case
from compress.core.errors import InputError
from compress.core.files import write_whole
from compress.core.model.fingerprint import base_fingerprint
from compress.core.model.head import Problem, TaskHead
from compress.core.values import Settings

__all__ = [
    "CONFIG",
    "TENSORS",
    "Base",
    "DeltaRecord",
    "base_directory",
    "base_fingerprint",
    "delta_bytes",
    "is_delta",
    "read_record",
]

CONFIG, TENSORS = "delta_config.json", "delta.safetensors"


class Base(Settings):
    """Base model of a delta.

    `path` leads to it from the delta's directory, or is an id of the hub; None where it was not saved.
    """

    fingerprint: str
    architecture: str
    path: str | None = None


class DeltaRecord(Settings):
    """Content of `delta_config.json`."""

    format: int = 2
    method: str
    base: Base
    labels: tuple[str, ...]
    regression: bool
    problem: Problem | None = Field(None, description="transformers' problem_type of the head")
    changes: tuple[dict[str, Any], ...] = Field(
        (), description="changes applied to the base before the tensors are loaded"
    )
    states: tuple[str, ...] = ()
    tensors: str = Field(TENSORS, description="file of the tensors; adapter_model.safetensors in PEFT's format")
    trained: tuple[str, ...] = ()

    @property
    def head(self) -> TaskHead:
        """The head that the delta's tensors are for."""
        kind = snake_case(re.sub(r"^.*?For(?=[A-Z])", "", self.base.architecture))
        if self.regression or self.problem is None:
            return TaskHead.of_labels(kind, self.labels, regression=self.regression)
        return TaskHead(kind, self.labels, self.problem)

    def write(self, directory: Path) -> None:
        """Write the record atomically: its file may be linked to another run's, and is replaced, not written into."""
        write_whole(directory / CONFIG, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")


def is_delta(directory: Path | str) -> bool:
    """Whether the directory holds a delta, and not a whole model."""
    return (Path(directory) / CONFIG).is_file()


def read_record(directory: Path | str) -> DeltaRecord:
    """The record of a delta.

    Raises:
        InputError: there is none, or it is no record of ours.
    """
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise InputError(f"the directory holds no delta: it has no {CONFIG}", given=str(directory))
    text = json.dumps(read_object(path))
    try:
        return DeltaRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"the record of the delta cannot be read: {place}: {first['msg']}", where=str(path)) from error


def base_directory(directory: Path) -> Path | None:
    """Where the base of a delta is; None where the directory holds a whole model, or its base was not saved.

    Args:
        directory: of a model or a delta.

    Raises:
        InputError: the record is damaged, or the bases lead back to this delta.
    """
    seen: list[Path] = []
    place: Path | None = directory
    with guarded("the path of a delta's base is no path", given=str(directory)):
        while place is not None and is_delta(place):
            if place.resolve() in seen:
                raise InputError(
                    "the base of the delta leads back to the delta itself",
                    given=read_record(directory).base.path,
                    where=str(directory / CONFIG),
                    advice="give the base that it was trained on: finetune.load(base, directory)",
                )
            seen.append(place.resolve())
            path = read_record(place).base.path
            place = None if path is None else place / path
        path = read_record(directory).base.path if is_delta(directory) else None
        return None if path is None else directory / path


def delta_bytes(model: nn.Module, names: Iterable[str]) -> int:
    """Bytes of a `delta.safetensors` with these parameters in fp32.

    Args:
        model: on any device, the meta device too.
        names: parameters of the delta.
    """
    parameters: Mapping[str, Tensor] = dict(model.named_parameters())
    header: dict[str, Any] = {}
    end = 0
    for name in sorted(names):
        start, end = end, end + 4 * parameters[name].numel()
        header[name] = {"dtype": "F32", "shape": list(parameters[name].shape), "data_offsets": [start, end]}
    text = len(json.dumps(header, separators=(",", ":")))
    return 8 + -(-text // 8) * 8 + end
