"""Resolving a model reference: a directory, a model of the hub, or weights inside an installed package."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.core.checkpoint.record import HALF, read_record
from compress.core.errors import InputError

__all__ = [
    "Checkpoint",
    "Reference",
    "files_in",
    "find_weights",
    "fingerprint",
    "not_found",
    "pickled_weights",
    "read_config",
    "resolve",
]

Reference = str | Path | Mapping[str, str]

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.\-]*(/[\w.\-]+)?$")


@dataclass(frozen=True)
class Checkpoint:
    """Checkpoint: the location of a model's files, with its configuration and record, read once.

    Attributes:
        found: a directory, or a hub id.
        config: `config.json` as data; empty for a hub id, whose files transformers reads.
        record: the `trimformer.json` that `save` wrote; empty where another tool wrote the directory.
    """

    found: Path | str
    config: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def at(cls, reference: Reference) -> Checkpoint:
        """The checkpoint that `reference` names.

        Raises:
            InputError: as `resolve`, and as `read_config` for a directory.
        """
        found = resolve(reference)
        return cls(found, read_config(found), read_record(found)) if isinstance(found, Path) else cls(found)

    @property
    def half(self) -> tuple[str, ...]:
        """Paths of the linears that are stored in bf16."""
        return tuple(self.record.get(HALF, ()))


def resolve(reference: Reference) -> Path | str:
    """The directory that `reference` names, or a hub id where it names no directory.

    Args:
        reference: a directory, a hub id, or {package, path} for a directory inside an installed package.

    Raises:
        InputError: the package is not installed, the directory does not exist, or it is none of the three forms.
    """
    if isinstance(reference, Mapping):
        return _in_package(reference)
    path = Path(reference).expanduser()
    if path.is_dir():
        return path
    if isinstance(reference, Path) or not HUB_ID.match(str(reference)):
        raise InputError("the model directory does not exist", given=str(reference))
    return str(reference)


def _in_package(reference: Mapping[str, str]) -> Path:
    if set(reference) != {"package", "path"}:
        raise InputError("weights inside a package are named by 'package' and 'path'", given=dict(reference))
    package = reference["package"]
    try:
        spec = importlib.util.find_spec(package)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the package {package!r} is not installed",
            given=dict(reference),
            advice=f"pip install {package.replace('_', '-')}",
        )
    path = Path(spec.submodule_search_locations[0]) / reference["path"]
    if not path.is_dir():
        raise InputError(f"the package {package!r} has no directory {reference['path']!r}", given=dict(reference))
    return path


def read_config(directory: Path) -> dict[str, Any]:
    """`config.json` as data.

    Raises:
        InputError: the directory or the file is not there, or it is not JSON.
    """
    path = directory / "config.json"
    if not directory.is_dir():
        raise InputError("the model directory does not exist", given=str(directory))
    if not path.is_file() and (directory / "delta_config.json").is_file():
        raise InputError(
            "the directory holds a delta, which is no model without its base",
            given=str(directory),
            advice="open it with finetune.load(base, directory), or put `merge` behind the stage that made it",
        )
    if not path.is_file():
        raise InputError(
            "the directory holds no model: it has no config.json",
            given=str(directory),
            advice="name a directory that save_pretrained wrote, or a model id of the hub",
        )
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"config.json is not valid JSON: {error}", where=str(path)) from error


def find_weights(directory: Path) -> None:
    """Raise `InputError` unless `directory` holds safetensors.

    Pickled weights are refused: opening them runs whatever code they hold.
    """
    if any((directory / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        return
    pickled = sorted(path.name for path in directory.glob("*.bin") if path.name.startswith("pytorch_model"))
    if pickled:
        raise pickled_weights(str(directory / pickled[0]))
    raise InputError(
        "the model directory has no weights", given=str(directory), advice="put model.safetensors beside config.json"
    )


def pickled_weights(given: str) -> InputError:
    return InputError(
        "the weights are pickled and there are no safetensors; opening a pickle can run any code",
        given=given,
        advice="where you trust the file, convert it once: AutoModelFor....from_pretrained(OLD, use_safetensors=False)"
        ".save_pretrained(NEW), with the class that fits its head, and name NEW",
    )


def fingerprint(reference: Reference) -> str:
    """`sha256:...` over names and contents of a directory's files, or `hub:ID@REVISION`.

    Raises:
        InputError: as `resolve`; or the hub does not know the model, or cannot be reached.
    """
    found = resolve(reference)
    if isinstance(found, Path):
        return f"sha256:{_digest(found)}"
    return f"hub:{found}@{hub_revision(found)}"


def hub_revision(model_id: str) -> str:
    """The commit of the model's files in the cache, or on the hub now."""
    from transformers.utils.hub import cached_file, extract_commit_hash

    try:
        path = cached_file(model_id, "config.json")
    except OSError as error:
        raise not_found(model_id, error) from error
    return extract_commit_hash(path, None) or "unknown"


def not_found(model_id: str, error: Exception) -> InputError:
    """The error for a model that is neither a directory nor on the hub.

    Args:
        model_id: as it was given.
        error: of transformers, whose first line is the reason.
    """
    reason = str(error).strip().splitlines()[0]
    return InputError(
        f"no directory here is called {model_id!r}, and the hub does not give a model of that name: {reason}",
        given=model_id,
        advice="check the spelling and, for the hub, the connection",
    )


def files_in(directory: Path) -> tuple[Path, ...]:
    """The files of a model directory that are part of its fingerprint, sorted by name."""
    return tuple(sorted(each for each in directory.iterdir() if each.is_file() and not each.name.startswith(".")))


def _digest(directory: Path) -> str:
    whole = hashlib.sha256()
    for path in files_in(directory):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else _slow(file)
        whole.update(f"{path.name}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()


def _slow(file: Any) -> Any:
    """`hashlib.file_digest`, which Python 3.10 lacks."""
    content = hashlib.sha256()
    for chunk in iter(lambda: file.read(1 << 20), b""):
        content.update(chunk)
    return content
