"""Inference sessions of exported models."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compress.core.checkpoint.guard import guarded, read_object
from compress.core.errors import InputError, UnknownName
from compress.core.hardware import available_threads
from compress.export.format import Format, Manifest, RuntimeSession

__all__ = ["MANIFEST", "chosen", "format_of", "open_artifact", "read_manifest"]

MANIFEST = "export.json"
FIELDS = {"format": str, "inputs": list, "outputs": list, "files": list, "counts": dict, "versions": dict}
"""Fields of the manifest -> what they hold, where they are there."""


def open_artifact(directory: Path | str, *, threads: int | None = None, exact: bool = False) -> RuntimeSession:
    """The exported model, in its runtime: int64 arrays in, float32 logits out.

    Args:
        directory: that an `export` stage wrote.
        threads: of one call; as many as this process may use unless given.
        exact: force 32-bit floats where the runtime would compute in fewer bits by default (bf16 in OpenVINO).

    Returns:
        A session. It drops inputs that the model does not take and raises when one is missing.

    Raises:
        InputError: there is no export in `directory`.
        MissingPackage: the runtime is not installed.
    """
    manifest = read_manifest(Path(directory))
    found = format_of(manifest, Path(directory))
    with guarded(f"the runtime of {manifest['format']} cannot open the exported model", given=str(directory)):
        return found.open(Path(directory), manifest, threads=threads or available_threads(), exact=exact)


def format_of(manifest: Manifest, directory: Path) -> type[Format]:
    """The format of an export.

    Args:
        manifest: its `export.json`.
        directory: for the message.

    Raises:
        UnknownName: there is no such format.
    """
    known = Format.members()
    if manifest["format"] not in known:
        raise UnknownName("format", str(manifest["format"]), known, where=str(directory / MANIFEST))
    return known[manifest["format"]]


def read_manifest(directory: Path) -> Manifest:
    """The contents of `export.json` in `directory`.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(f"no {MANIFEST} in {directory}", advice="give a directory that an export stage wrote")
    manifest = read_object(path)
    for field, kind in FIELDS.items():
        if manifest.get(field) is not None and not isinstance(manifest[field], kind):
            raise InputError(f"{field!r} of the export's record is no {kind.__name__}", where=str(path))
    if manifest.get("format") is None:
        raise InputError("the export's record does not name its format, it is damaged", where=str(path))
    return manifest


def chosen(inputs: dict[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of `names`, as float32 or int64, the types of the graphs' inputs.

    Args:
        inputs: name -> array; others are left out.
        names: inputs of the graph.

    Raises:
        InputError: one of them is missing.
    """
    missing = [name for name in names if name not in inputs]
    if missing:
        raise InputError(f"the exported model needs {', '.join(missing)}", given=sorted(inputs))
    return {name: _plain(inputs[name]) for name in names}


def _plain(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32 if values.dtype.kind == "f" else np.int64)
