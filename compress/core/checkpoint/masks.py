"""Pruning masks in a model's directory: with the kept values, or in a file of their own for quantized weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compress.core.checkpoint.compact import BITS, WEIGHTS
from compress.core.checkpoint.guard import guarded
from compress.core.errors import InputError, StageFailed
from compress.core.model.masks import Masks, masked_parameters, pack, unpack

__all__ = ["FILE", "check_masks", "read_masks", "write_masks"]

FILE = "masks.safetensors"


def write_masks(masks: Mapping[str, Tensor], directory: Path) -> None:
    """Write the masks as packed bits, in place of any earlier ones.

    Args:
        masks: name -> boolean tensor, True where kept.
        directory: exists.
    """
    from safetensors.torch import save_file

    (directory / FILE).unlink(missing_ok=True)
    if masks:
        save_file({name: pack(mask) for name, mask in masks.items()}, directory / FILE)


def read_masks(directory: Path, record: Mapping[str, Any], device: torch.device | str = "cpu") -> Masks:
    """The masks of a directory whose record has their shapes under `masks`.

    Args:
        directory: that `save` wrote.
        record: its `trimformer.json`.
        device: of the masks.

    Raises:
        InputError: the files do not hold them.
    """
    shapes: Mapping[str, list[int]] = record.get("masks", {})
    if not shapes:
        return {}
    packed = {**_bits(directory / WEIGHTS, {name + BITS: name for name in shapes}), **_bits(directory / FILE, {})}
    if lost := sorted(set(shapes) - set(packed)):
        raise InputError(
            f"the directory lacks the mask of {lost[0]}", given=str(directory), advice="it was not copied as a whole"
        )
    for name, shape in shapes.items():
        if packed[name].dtype != torch.uint8 or packed[name].numel() != -(-math.prod(shape) // 8):
            raise InputError(
                f"the mask of {name} is not of the shape {shape} that the record has", given=str(directory)
            )
    return {name: unpack(packed[name], shape).to(device) for name, shape in shapes.items()}


def check_masks(masks: Mapping[str, Tensor], model: nn.Module, *, given: str) -> None:
    """Raise `InputError` where a mask is of no weight of the model, or of one of another shape.

    Args:
        masks: name -> boolean tensor.
        model: that they belong to.
        given: the checkpoint, for messages.
    """
    try:
        for _ in masked_parameters(model, masks):
            pass
    except StageFailed as error:
        raise InputError(f"the record does not fit the model: {error.what}", given=given) from error


def _bits(path: Path, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Name of a weight -> its packed mask, for the tensors in `names`; for all of the file where it is empty."""
    if not path.is_file():
        return {}
    from safetensors import safe_open

    what = f"{path.name} cannot be read, the file is damaged"
    with guarded(what, given=str(path)), safe_open(path, framework="pt") as file:
        found = [key for key in file.keys() if key in names or not names]  # noqa: SIM118
        return {names.get(key, key): file.get_tensor(key).clone() for key in found}
