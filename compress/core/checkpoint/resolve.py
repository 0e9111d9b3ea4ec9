"""Resolving a model reference: a directory, a model of the hub, or weights inside an installed package."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.core.checkpoint.guard import guarded, read_object, reason
from compress.core.checkpoint.record import HALF, read_record
from compress.core.errors import InputError

__all__ = ["Checkpoint", "Reference", "files_in", "fingerprint", "read_config", "resolve"]

Reference = str | Path | Mapping[str, str]

HUB_ID = re.compile(r"^[A-Za-z0-9][\w.\-]*(/[\w.\-]+)?$")


DESCRIPTION = ("*.json", "*.txt", "*.model", "*.codes", "*.spm", "*.tokenizer", "*.jinja")
WEIGHTS = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
"""Files of the hub that are fetched: those that describe a model, and those of its weights."""


@dataclass(frozen=True)
class Checkpoint:
    """Checkpoint: the directory of a model's files, with its configuration and record, read once.

    Attributes:
        found: the directory; of a model of the hub the one in the cache, with the files that describe it.
        config: `config.json` as data.
        record: the `trimformer.json` that `save` wrote; empty where another tool wrote the directory.
        hub: the id on the hub; empty for a directory.
    """

    found: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    hub: str = ""

    @classmethod
    def at(cls, reference: Reference) -> Checkpoint:
        """The checkpoint that `reference` names.

        Raises:
            InputError: as `resolve`, and as `read_config`; or the hub does not give the model.
        """
        named = resolve(reference)
        hub = "" if isinstance(named, Path) else named
        found = named if isinstance(named, Path) else _fetched(named, DESCRIPTION)
        with guarded("the model directory cannot be read", given=str(found)):
            return cls(found, read_config(found), read_record(found), hub)

    @property
    def name(self) -> str:
        """What it is called in messages: the path, or the id on the hub."""
        return self.hub or str(self.found)

    @property
    def half(self) -> tuple[str, ...]:
        """Paths of the linears that are stored in bf16."""
        return tuple(self.record.get(HALF, ()))

    def fetch_weights(self) -> None:
        """Fetch the weights of a model of the hub, where they are not in the cache.

        Raises:
            InputError: the hub does not give them, or has them in other formats only.
        """
        if not self.hub:
            return
        _fetched(self.hub, WEIGHTS)
        if not any(self.found.glob("model*.safetensors*")) and not any(self.found.glob("pytorch_model*.bin")):
            raise InputError(
                "the model of the hub has no safetensors, and opening pickled weights can run any code",
                given=self.hub,
                advice="where you trust it, convert it once: AutoModelFor....from_pretrained(ID, use_safetensors=False)"
                ".save_pretrained(NEW), with the class that fits its head, and name NEW",
            )


def resolve(reference: Reference) -> Path | str:
    """The directory that `reference` names, or a hub id where it names no directory.

    Args:
        reference: a directory, a hub id, or {package, path} for a directory inside an installed package.

    Raises:
        InputError: the package is not installed, the directory does not exist, or it is none of the three forms.
    """
    if isinstance(reference, Mapping):
        return _in_package(reference)
    path = _path(reference)
    if path.is_dir():
        return path
    if path.exists():
        raise InputError("this is a file, and a model is a directory", given=str(reference))
    if isinstance(reference, Path) or not HUB_ID.match(str(reference)):
        raise InputError("the model directory does not exist", given=str(reference))
    return str(reference)


def _path(reference: str | Path) -> Path:
    try:
        path = Path(reference).expanduser()
        path.is_dir()
        str(path).encode()
    except (OSError, RuntimeError, ValueError) as error:
        # A name that is too long, a home of nobody, a NUL or a lone surrogate.
        raise InputError(f"no directory can be called that: {reason(error)}", given=str(reference)) from error
    return path


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
        InputError: the directory or the file is not there, or as `read_object`.
    """
    if not directory.is_dir():
        raise InputError("the model directory does not exist", given=str(directory))
    path = directory / "config.json"
    if not path.is_file():
        raise _no_model(directory)
    return read_object(path)


def _no_model(directory: Path) -> InputError:
    """The error for a directory without `config.json`, by what it holds."""
    given = str(directory)
    if (directory / "delta_config.json").is_file():
        return InputError(
            "the directory holds a delta, which is no model without its base",
            given=given,
            advice="open it with finetune.load(base, directory), or put `merge` behind the stage that made it",
        )
    if (directory / "adapter_config.json").is_file():
        return InputError(
            "the directory holds an adapter of PEFT, which is no model without its base",
            given=given,
            advice="merge it once (PeftModel.from_pretrained(base, directory).merge_and_unload().save_pretrained(NEW)) "
            "and name NEW",
        )
    return InputError(
        "the directory holds no model: it has no config.json",
        given=given,
        advice="name a directory that save_pretrained wrote, or a model id of the hub",
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
    from transformers.utils.hub import extract_commit_hash

    return extract_commit_hash(str(_config_of(model_id)), None) or "unknown"


def _config_of(model_id: str) -> Path:
    """`config.json` of a model of the hub, in the cache."""
    from transformers.utils.hub import cached_file

    try:
        path = cached_file(model_id, "config.json")
    except (OSError, ValueError) as error:
        raise InputError(
            f"no directory here is called {model_id!r}, and the hub does not give a model of that name: "
            f"{reason(error)}",
            given=model_id,
            advice="check the spelling and, for the hub, the connection",
        ) from error
    if path is None:
        raise InputError("the model of the hub has no config.json", given=model_id)
    return Path(path)


def _fetched(model_id: str, patterns: tuple[str, ...]) -> Path:
    """The directory in the cache with the files of a model of the hub that fit `patterns`, none of its folders."""
    from huggingface_hub import snapshot_download

    revision = hub_revision(model_id)
    with guarded("the hub does not give the files of this model", given=model_id, advice="check the connection"):
        found = snapshot_download(
            model_id,
            revision=None if revision == "unknown" else revision,
            allow_patterns=list(patterns),
            ignore_patterns=["*/*"],
        )
    return Path(found)


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
