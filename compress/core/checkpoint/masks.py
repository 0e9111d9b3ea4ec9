"""Pruning masks in a model's directory: with the kept values, or in a file of their own for quantized weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compress.core.checkpoint.compact import BITS, WEIGHTS
from compress.core.errors import InputError
from compress.core.model.masks import Masks, pack, unpack

__all__ = ["FILE", "read_masks", "write_masks"]

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
    return {name: unpack(packed[name], shape).to(device) for name, shape in shapes.items()}


def _bits(path: Path, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Name of a weight -> its packed mask, for the tensors in `names`; for all of the file where it is empty."""
    if not path.is_file():
        return {}
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        found = [key for key in file.keys() if key in names or not names]  # noqa: SIM118
        return {names.get(key, key): file.get_tensor(key).clone() for key in found}
