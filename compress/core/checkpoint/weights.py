"""The tensors of a checkpoint: which files hold them, and which those are that nobody may open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from compress.core.checkpoint.guard import guarded, names, read_object
from compress.core.errors import InputError
from compress.core.layers.bits import BITS, VALUES, dense

__all__ = ["Stored", "find_weights", "read_headers", "read_tensors", "shapes_on_meta"]

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
LIKE_WEIGHTS = ("*.h5", "*.msgpack", "*.gguf", "*.ckpt*", "*.pt", "*.pth", "*.onnx", "*.safetensors", "*.bin")
POINTER = b"version https://git-lfs"
TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """A tensor as the header of its file has it.

    Attributes:
        file: that holds it.
        dtype: in the words of safetensors: `F32`, `BF16`, ...
        shape: of the tensor.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]


def find_weights(directory: Path, *, needed: bool = True) -> tuple[Path, ...]:
    """The safetensors files of a model, sorted by name: one, or those that an index names.

    Pickled weights are refused: opening them runs whatever code they hold.

    Args:
        directory: of the model.
        needed: whether a directory without any weights is refused too; else there are no files.

    Raises:
        InputError: there are none, only pickled ones, not all of them, or the index names files that are no
            safetensors of this directory.
    """
    if (directory / SINGLE).is_file():
        return (directory / SINGLE,)
    if (directory / INDEX).is_file():
        return _shards(directory)
    if pickled := sorted(directory.glob("pytorch_model*.bin")):
        raise InputError(
            "the weights are pickled and there are no safetensors; opening a pickle can run any code",
            given=str(pickled[0]),
            advice="where you trust the file, convert it once: AutoModelFor....from_pretrained(OLD, "
            "use_safetensors=False).save_pretrained(NEW), with the class that fits its head, and name NEW",
        )
    if parts := sorted(path.name for path in directory.glob("model-*-of-*.safetensors")):
        raise InputError(
            f"the weights lie in several files ({names(parts)}) without {INDEX}, which says what is in which",
            given=str(directory),
            advice="copy it from where the model came from",
        )
    if needed:
        raise _no_weights(directory)
    return ()


def _no_weights(directory: Path) -> InputError:
    there = {path.name for pattern in LIKE_WEIGHTS for path in directory.glob(pattern)}
    if (directory / "export.json").is_file():
        return InputError("the directory holds an export, which is no model to start from", given=str(directory))
    return InputError(
        f"the model directory has no weights that are opened here; it has {names(there)}"
        if there
        else "the model directory has no weights",
        given=str(directory),
        advice="put model.safetensors beside config.json",
    )


def _shards(directory: Path) -> tuple[Path, ...]:
    index = directory / INDEX
    found = read_object(index).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found.values()):
        raise InputError("the index has no 'weight_map' from tensors to files", where=str(index))
    files = sorted(set(found.values()))
    outside = [name for name in files if PurePosixPath(name).name != name or not name.endswith(".safetensors")]
    outside += [name for name in files if name.startswith(".") or "\\" in name or "\0" in name]
    if outside:
        raise InputError(
            "the index names files that are no safetensors of this directory itself; they are not opened",
            given=outside[0],
            where=str(index),
            advice="put all files of the weights beside config.json, and their bare names into the index",
        )
    missing = [name for name in files if not (directory / name).is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(files)} files of the weights are missing: {names(missing)}",
            given=str(directory),
            advice="the download or the copy is not complete: fetch them from where the model came from",
        )
    paths = tuple(directory / name for name in files)
    lost = sorted(set(found) - read_headers(paths).keys())
    if lost:
        raise InputError(
            f"the index names {len(lost)} tensors that its files do not hold: {names(lost)}", where=str(index)
        )
    return paths


def read_headers(files: tuple[Path, ...]) -> dict[str, Stored]:
    """Name -> what the header of its file says of it; no values are read.

    Raises:
        InputError: a file is damaged, or two files hold a tensor of one name.
    """
    from safetensors import safe_open

    found: dict[str, Stored] = {}
    for path in files:
        with _opening(path), safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                part = opened.get_slice(name)
                if name in found:
                    raise InputError(
                        f"{path.name} and {found[name].file.name} both hold {name}", given=str(path.parent)
                    )
                found[name] = Stored(path, str(part.get_dtype()), tuple(part.get_shape()))
    return found


def read_tensors(stored: Mapping[str, Stored], compact: Mapping[str, Any]) -> dict[str, Tensor]:
    """Name -> tensor, mapped from its file; masked weights that lie there as bits and values are dense.

    Args:
        stored: what the headers say.
        compact: name -> shape, of the masked weights.

    Raises:
        InputError: a file is damaged.
    """
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    for path in sorted({each.file for each in stored.values()}):
        with _opening(path):
            if compact:
                found |= dense(path, dict(compact))
                continue
            with safe_open(path, framework="pt") as opened:
                found |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    return found


def shapes_on_meta(stored: Mapping[str, Stored], compact: Mapping[str, Any]) -> dict[str, Tensor]:
    """`read_tensors` without values: on the meta device.

    Args:
        stored: what the headers say.
        compact: name -> shape, of the masked weights.
    """
    found = {}
    for name, each in stored.items():
        dtype = TYPES.get(each.dtype, torch.float32)
        if name.removesuffix(BITS) in compact:
            continue
        plain = name.removesuffix(VALUES)
        found[plain if plain in compact else name] = torch.empty(
            tuple(compact.get(plain, each.shape)), dtype=dtype, device="meta"
        )
    return found


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    with guarded(f"the weights in {path.name} cannot be read, the file is damaged", given=str(path)):
        with path.open("rb") as file:
            start = file.read(len(POINTER))
        if start == POINTER:
            raise InputError(
                "this is a pointer of Git LFS, not the weights", given=str(path), advice="fetch them: git lfs pull"
            )
        yield
